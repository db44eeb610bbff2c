"""Models: their files, networks, loading, switching, export and training."""
