"""The image operations: pure functions of arrays. Nothing here knows Celery or Redis."""
