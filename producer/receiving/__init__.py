"""From ended jobs to results and files."""
