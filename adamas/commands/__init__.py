"""What the command line does, a file for every command that has no other home."""
