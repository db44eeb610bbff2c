"""Flower with pages of agewell's own, behind one login: `python -m workers.dashboard`."""
