"""Jobs of inference: the Celery task, batches shared by many jobs, commands to models."""
