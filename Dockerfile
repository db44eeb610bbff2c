# Targets: producer (sends jobs; no image library) and cv (runs them; upkeep, beat and Flower too).
FROM python:3.11-slim-bookworm AS base
# Set PIP_EXTRA_INDEX_URL to PyTorch's CPU index to spare gigabytes of CUDA packages.
ARG PIP_EXTRA_INDEX_URL=
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
# The folder for a volume, so that it belongs to whom it is mounted for.
RUN useradd --create-home --uid 10001 agewell \
 && install --directory --owner=agewell --mode=700 /home/agewell/state
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY shared shared
COPY producer producer
COPY workers workers

FROM base AS producer
RUN pip install --constraint constraints.txt .
USER agewell
ENTRYPOINT ["agewell"]

FROM base AS cv
# A compiler for fpie, which is built from source; gone again in the same layer.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && pip install --constraint constraints.txt '.[stack]' \
 && apt-get purge --yes --auto-remove build-essential \
 && rm -rf /var/lib/apt/lists/*
USER agewell
