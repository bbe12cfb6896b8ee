"""Diffusion of frames: preconditioning, noise law and loss; noise grids; samplers."""
