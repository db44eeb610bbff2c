"""Everything between files on disk and messages in a queue."""
