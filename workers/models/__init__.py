"""Models: what they are, how they are loaded and switched, how jobs share their batches."""
