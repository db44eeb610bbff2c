"""Inference jobs: the Celery task, batches shared by many jobs, and commands to models."""
