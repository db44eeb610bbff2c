"""The files that install.py writes, and the sizes in them."""

import os

from steps import memory_bytes

SERVICES = ("cv", "infer", "upkeep", "beat", "flower", "metrics")

EXTRAS = {"cv": "cv", "infer": "infer", "flower": "monitoring", "metrics": "monitoring"}
"""The extra of agewell that a service needs. The others need none."""

JOB_BYTES = 4_400_000_000
"""Memory that one cv process may take with the default settings: docs/security.md."""

CV_SHARE = 0.85
"""MemoryMax of agewell-cv.service."""

ENV = """\
# Settings of agewell's services, each a variable of docs/settings.md. Only root may read this file.
# After a change: systemctl restart agewell.target
AGEWELL_REDIS_URL={url}
# Images go into Redis. For many or large ones use a directory, such as file:///srv/agewell/blobs.
AGEWELL_BLOB_URL=redis
# Jobs of the cv worker at the same time: as many as there are cores, and as fit into memory.
AGEWELL_CONCURRENCY={jobs}
AGEWELL_FLOWER_HOST=127.0.0.1
AGEWELL_FLOWER_PORT=5555
AGEWELL_FLOWER_PASSWORD={flower}
AGEWELL_METRICS_PORT=9540
"""

REDIS = """\
# Redis for agewell on this machine. For workers on other machines, add their network's address to
# "bind", and give Redis TLS or a network of your own: docs/security.md.
bind 127.0.0.1
port {port}
dir /var/lib/agewell-redis
aclfile /etc/agewell/redis_users.acl
appendonly yes
appendfsync everysec
save ""
# A full Redis refuses new jobs. It must never drop old ones.
maxmemory {memory}
maxmemory-policy noeviction
logfile ""
"""


def redis_url_of(url: str, port: int) -> str:
    """Return the URL of a Redis on this machine, from that of docker-compose.yml."""
    login = url.rpartition("@")[0]
    return f"{login}@127.0.0.1:{port}/0"


def cores_that_fit() -> int:
    """Return how many cv processes the cores and the memory of this machine allow."""
    fits = int(memory_bytes() * CV_SHARE // JOB_BYTES)
    return max(1, min(len(os.sched_getaffinity(0)), fits))
