"""How long a job sent now would wait: from the order, measured work, workers and arrivals."""
