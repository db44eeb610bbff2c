"""Text that people write or read: durations, URLs, safe names, what is wrong with a value."""
