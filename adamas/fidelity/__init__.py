"""How faithful dreams are: distances to the truth, distributions, obedience."""
