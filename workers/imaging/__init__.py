"""Reading and writing image files: headers, limits, decoders, encoders. No image operations."""
