"""What travels between producers and workers, and the law of its order. No Redis, no Celery."""
