"""Waiting jobs: one record of each, and the order in which they run. Every change is one script."""
