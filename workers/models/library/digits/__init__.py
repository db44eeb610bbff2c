"""Handwritten digits: the network and its training."""
