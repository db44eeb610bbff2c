"""The simulator that shows how k, load and workers change the waits of each level."""
