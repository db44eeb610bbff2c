"""The documentation, and the program that writes its pages from the code."""
