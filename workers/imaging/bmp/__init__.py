"""The BMP format: header, run lengths and pixels."""
