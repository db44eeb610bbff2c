"""What watches: metrics, health checks, and Flower with agewell's pages."""
