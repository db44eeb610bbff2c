"""What producers and workers agree on."""
