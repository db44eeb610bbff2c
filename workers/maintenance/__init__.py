"""The duties of upkeep, one module each. Beat sends them as tasks, and each does bounded work."""
