"""A page that compares runs with each other and with published results."""
