"""The TIFF format: tags, layouts, compressions and pixels."""
