# Targets:
#   producer  sends jobs; no image library
#   cv        runs operations; upkeep, beat and Flower too
#   gpu       runs models on NVIDIA GPUs
# Built with PIP_EXTRA_INDEX_URL set to PyTorch's CPU index, cv spares gigabytes of CUDA packages.

FROM python:3.11.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/agewell/bin:$PATH
# What libraries like to write goes where the file system is writable: the rest of it is not.
ENV HOME=/tmp XDG_CACHE_HOME=/tmp/cache NUMBA_CACHE_DIR=/tmp/numba \
    TI_OFFLINE_CACHE_FILE_PATH=/tmp/taichi AGEWELL_STATE_DIR=/tmp/agewell
RUN useradd --uid 10001 --no-create-home --home-dir /tmp agewell

FROM base AS source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# A compiler for fpie, which is built from source; it stays behind in this stage.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/agewell
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY agewell agewell
COPY shared shared
COPY producer producer
COPY workers workers
COPY models models

FROM source AS producer-built
RUN pip install --constraint constraints.txt .

FROM source AS cv-built
ARG PIP_EXTRA_INDEX_URL=
RUN pip install --constraint constraints.txt '.[workers,stack]'

FROM source AS gpu-built
# onnxruntime for the CPU and onnxruntime-gpu share their files, so the one replaces the other.
RUN pip install --constraint constraints.txt '.[workers,huggingface]' \
 && pip uninstall --yes onnxruntime \
 && pip install --constraint constraints.txt onnxruntime-gpu

FROM base AS producer
COPY --from=producer-built /opt/agewell /opt/agewell
USER agewell
ENTRYPOINT ["agewell"]

FROM base AS cv
COPY --from=cv-built /opt/agewell /opt/agewell
USER agewell
CMD ["celery", "-A", "agewell.workers.cv", "worker", "-Q", "cv", "-n", "cv@%h"]

FROM base AS gpu
# The driver comes from the host, by NVIDIA's container toolkit; CUDA itself with torch.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=gpu-built /opt/agewell /opt/agewell
USER agewell
CMD ["celery", "-A", "agewell.workers.infer", "worker", "-Q", "infer", "-n", "infer@%h", "--pool=threads"]
