"""The image operations: pure functions of arrays, which know neither Celery nor Redis."""
