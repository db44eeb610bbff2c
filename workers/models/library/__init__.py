"""Networks as plain torch modules: they know neither files nor queues nor images."""
