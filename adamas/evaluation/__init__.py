"""Evaluation: scores of agents in the real environment, their statistics, and published scores to compare with."""
