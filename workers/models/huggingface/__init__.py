"""Files that transformers writes beside the weights, read without transformers."""
