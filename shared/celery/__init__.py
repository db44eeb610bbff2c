"""Code that makes Celery and kombu use our queue: the app, its transport, its result backend."""
