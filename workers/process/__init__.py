"""A worker process: its settings and connections, its identity and heartbeat, its limits."""
