"""Kinds of models by what they are for: classification, image to image."""
