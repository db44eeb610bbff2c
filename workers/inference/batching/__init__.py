"""Batching: which items share a forward pass, and which item made a pass fail."""
