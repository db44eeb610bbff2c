"""One job on a worker: its delivery, its run item by item, its retries and its end."""
