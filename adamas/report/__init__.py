"""One page about many runs, beside each other and beside published results."""
