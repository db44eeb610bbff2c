"""Everything between a job that has ended and its result files."""
