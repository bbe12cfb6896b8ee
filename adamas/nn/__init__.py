"""Building blocks of the networks, in plain PyTorch: without devices, precisions, environments or optimisers."""
