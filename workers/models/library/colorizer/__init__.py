"""The colorizer, which colours photos: its network, its model class and its training."""
