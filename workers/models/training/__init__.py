"""The training command, `python -m agewell.workers.models.training`, and the files it writes."""
