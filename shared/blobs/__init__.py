"""Encoded images outside of messages: stored once under their SHA-256, in Redis or in files."""
