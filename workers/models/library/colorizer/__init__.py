"""The colorizer: its network, its model, its training."""
