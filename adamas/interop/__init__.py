"""Loading and saving agents: runs, checkpoints, DIAMOND's published checkpoints, and the Hugging Face hub."""
