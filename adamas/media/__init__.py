"""Pictures, films and plots of arrays. Nothing here knows agents or environments."""
