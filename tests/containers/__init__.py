"""The images and docker-compose.yml, with a real Docker engine: `make containers`."""
