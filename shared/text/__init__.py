"""Text that people write or read: durations, URLs, safe names, and problems with values."""
