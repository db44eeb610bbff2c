"""Blob stores: encoded image bytes kept outside messages, named by their SHA-256."""
