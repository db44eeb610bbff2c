"""The JPEG format: header and pixels."""
