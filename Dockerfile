# Targets:
#   producer  sends jobs; no image library
#   cv        runs operations, and upkeep, beat, Flower and the exporter; no torch
#   infer     runs models on the CPU
#   gpu       runs models on NVIDIA GPUs
# Libraries have layers of their own, which only a change of pyproject.toml or constraints.txt
# builds again. agewell itself is the last and smallest layer of each image.

FROM python:3.11.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/agewell/bin:$PATH
# What libraries like to write goes where the file system is writable: the rest of it is not. They
# ask for the user's name too, and the user of a container may be one that has none.
ENV HOME=/tmp USER=agewell XDG_CACHE_HOME=/tmp/cache NUMBA_CACHE_DIR=/tmp/numba \
    AGEWELL_STATE_DIR=/tmp/agewell AGEWELL_HEALTH_DIR=/tmp/health
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# A new volume takes the mode of the directory that it covers: any user may write into /state.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp agewell \
 && install --directory --mode=1777 /state \
 && python -m venv /opt/agewell

FROM base AS builder
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt ./

# fpie is built from source. Two of its dependencies are left out: cmake, which only its native
# backends need, and taichi, one more backend, which needs libX11 and has no wheel for arm64.
FROM builder AS fpie
RUN pip install --constraint constraints.txt setuptools wheel \
 && pip wheel --constraint constraints.txt --no-deps --wheel-dir /built fpie \
 && python -m wheel unpack --dest /unpacked /built/*.whl \
 && sed --in-place '/^Requires-Dist: *\(cmake\|taichi\)/d' /unpacked/*/*.dist-info/METADATA \
 && mkdir /wheels \
 && python -m wheel pack --dest-dir /wheels /unpacked/*

# agewell without any code: the names of its dependencies.
FROM builder AS requirements
RUN mkdir agewell \
 && touch agewell/__init__.py README.md LICENSE \
 && pip wheel --no-deps --wheel-dir /requirements . \
 && cp constraints.txt /requirements/

FROM builder AS code
COPY README.md LICENSE ./
COPY agewell agewell
COPY shared shared
COPY producer producer
COPY workers workers
COPY models models
RUN pip wheel --no-deps --wheel-dir /code .

FROM base AS producer-libraries
RUN --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    pip install --constraint /requirements/constraints.txt /requirements/*.whl \
 && pip uninstall --yes agewell

FROM producer-libraries AS cv-libraries
RUN --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    --mount=type=bind,from=fpie,source=/wheels,target=/wheels \
    pip install --constraint /requirements/constraints.txt /wheels/*.whl \
        "$(echo /requirements/*.whl)[cv,monitoring]" \
 && pip uninstall --yes agewell

FROM cv-libraries AS infer-libraries
# torch alone comes from PyTorch's index for CPUs: elsewhere it brings gigabytes of CUDA.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    pip install --constraint /requirements/constraints.txt \
        ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch \
 && pip install --constraint /requirements/constraints.txt \
        "$(echo /requirements/*.whl)[infer,huggingface]" \
 && pip uninstall --yes agewell

FROM cv-libraries AS gpu-libraries
# onnxruntime for the CPU and onnxruntime-gpu share their files, so the one replaces the other.
RUN --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    pip install --constraint /requirements/constraints.txt \
        "$(echo /requirements/*.whl)[infer,huggingface]" \
 && pip uninstall --yes agewell onnxruntime \
 && pip install --constraint /requirements/constraints.txt onnxruntime-gpu

FROM producer-libraries AS producer
RUN --mount=type=bind,from=code,source=/code,target=/code pip install --no-deps /code/*.whl
USER agewell
ENTRYPOINT ["agewell"]

FROM cv-libraries AS cv
RUN --mount=type=bind,from=code,source=/code,target=/code pip install --no-deps /code/*.whl
USER agewell
CMD ["celery", "-A", "agewell.workers.cv", "worker", "-Q", "cv", "-n", "cv@%h"]

FROM infer-libraries AS infer
RUN --mount=type=bind,from=code,source=/code,target=/code pip install --no-deps /code/*.whl
USER agewell
CMD ["celery", "-A", "agewell.workers.infer", "worker", "-Q", "infer", "-n", "infer@%h", "--pool=threads"]

FROM gpu-libraries AS gpu
# The driver comes from the host, by NVIDIA's container toolkit; CUDA itself with torch.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=code,source=/code,target=/code pip install --no-deps /code/*.whl
USER agewell
CMD ["celery", "-A", "agewell.workers.infer", "worker", "-Q", "infer", "-n", "infer@%h", "--pool=threads"]
