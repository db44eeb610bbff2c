"""TIFF: the header, and the pixels."""
