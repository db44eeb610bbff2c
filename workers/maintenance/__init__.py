"""The duties of upkeep: each is one task that beat sends, and does bounded work."""
