"""How fast this code is on this machine, against the straightforward way to run the same models."""
