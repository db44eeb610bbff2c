"""Monitoring: metrics for Prometheus, health checks, and Flower with agewell's pages."""
