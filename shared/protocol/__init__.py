"""Message formats, task names, levels and the aging formula, without Redis and Celery."""
