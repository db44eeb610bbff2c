"""From files to jobs in the queue."""
