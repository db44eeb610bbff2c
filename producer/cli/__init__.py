"""The command line: one module for each command, and modules for options and output."""
