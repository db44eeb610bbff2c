"""BMP: the header, and the pixels."""
