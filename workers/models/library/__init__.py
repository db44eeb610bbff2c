"""Networks that come with agewell, each with its model class and its training."""
