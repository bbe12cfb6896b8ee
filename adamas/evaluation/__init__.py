"""Measuring: scores in the real game, and how far dreams are from it."""
