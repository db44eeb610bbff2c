"""How a worker takes jobs from Redis, and how it acknowledges, requeues or refuses them."""
