"""Flower with agewell's pages: `python -m agewell.workers.monitoring.dashboard`."""
