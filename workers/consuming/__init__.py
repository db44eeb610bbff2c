"""Taking jobs from Redis, and acknowledging them or giving them back."""
