"""The training loop and what it is made of. The one place where the flow of data closes into a cycle."""
