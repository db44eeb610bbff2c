"""A job on a worker: delivered, run item by item, tried again or given up."""
