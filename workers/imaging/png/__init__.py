"""PNG: the header, and the pixels."""
