"""Batches: which items share a forward pass, and which of them made one fail."""
