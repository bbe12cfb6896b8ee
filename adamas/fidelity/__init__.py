"""How faithful dreams are: distances to the truth, Frechet distances, coverage, action sensitivity."""
