"""Many runs: games times seeds, on this machine, on a Ray cluster or under SLURM."""
