"""IRIS: a world model of discrete tokens (Micheli, Alonso, Fleuret, ICLR 2023, arXiv 2209.00588).

Attributes of its networks have the names that the published checkpoints use, so that state dicts have the same keys.
"""
