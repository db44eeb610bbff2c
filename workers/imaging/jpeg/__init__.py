"""JPEG: the header, and the pixels."""
