"""Dreams: as an environment, where they start, how they continue real windows, and films of them."""
