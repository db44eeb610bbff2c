"""Training, run as commands of their own: `python -m workers.models.training.colorizer --help`."""
