"""What does the work: Celery tasks and the image operations behind them."""
