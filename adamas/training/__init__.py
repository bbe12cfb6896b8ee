"""Training: the loop, its phases, the optimiser, resuming, and data parallel processes."""
