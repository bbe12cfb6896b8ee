"""Watching and playing a dream: in a web page, or in a terminal."""
