"""Loading and saving agents: runs, checkpoints, published checkpoints, and the Hugging Face hub."""
