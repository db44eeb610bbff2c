"""The simulator: what k, load and workers do to waits."""
