"""Building blocks of the networks. Plain PyTorch: no devices, precisions, environments or optimisers here."""
