"""Encoded images to arrays and back, with every limit checked before a pixel is decoded."""
