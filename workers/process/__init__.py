"""A worker process: its settings and tools, its identity and heartbeat, its limits."""
