"""DIAMOND, a diffusion world model (Alonso et al., NeurIPS 2024, arXiv 2405.12399)."""
