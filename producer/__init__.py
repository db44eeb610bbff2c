"""What a user runs: the command line, and what sends jobs and collects results."""
