"""Benchmarks: the speed of this code on this machine, against plain PyTorch with the same models."""
