"""The PNG format: header, text chunks and compressed pixels."""
