"""The workers: Celery tasks, and the image operations and models that they run."""
