"""Training, run as a command: `python -m agewell.workers.models.training --help`."""
