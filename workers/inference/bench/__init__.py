"""Bench: measure a model's versions and options, to choose between them."""
