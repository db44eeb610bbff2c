"""Everything that a user runs or imports: the command line and the Python clients."""
