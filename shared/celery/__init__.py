"""Celery and kombu, made to use the records of `shared.queue`: app, transport, results."""
