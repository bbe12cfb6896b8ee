"""Experiment suites: a run for every game and seed, on this machine, on a Ray cluster or under SLURM."""
