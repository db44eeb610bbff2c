"""Every Redis key of ours, and the names that kombu gives to its lists."""

from functools import cache

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue

PREFIX = "agewell:"
PRIORITY_SEPARATOR = "\x06\x16"
"""kombu's `Channel.sep`, between a queue's name and a priority step."""

WORKER_IDS = f"{PREFIX}worker-runs"
"""A set: each lifetime of a worker whose reserved jobs may still have to be returned."""

STARTED = f"{PREFIX}started"
"""A hash: by the level given, how many jobs have started, and how long they waited in all."""

COUNTS = f"{PREFIX}counts"
"""A hash: how often what should be rare has happened."""

DEADLINES = f"{PREFIX}deadlines"
"""The waiting jobs that have deadlines, by those: a sorted set."""

SEQUENCE = f"{PREFIX}sequence"
"""The number of the last place that was given to a job."""

AGING_K = f"{PREFIX}aging-k"
"""A hash: queue -> k in force; `<queue>:set` if an operator has set it."""

REFUSED = f"{PREFIX}refused"
"""A list: plain clients' messages that cannot be read; upkeep makes dead letters of them."""

GIVEN_UP = f"{PREFIX}given-up"
"""A set: jobs whose deliveries were lost too often; upkeep makes dead letters of them."""

BLOBS_KEPT = f"{PREFIX}blobs-kept"
"""A hash: when the last round of keeping waiting jobs' blobs began, and how far it has come."""

ORPHANS = f"{PREFIX}orphans"
"""A hash: when the last look for waiting jobs without a place began, and how far it has come."""

BLOB_STORES = f"{PREFIX}blob-stores"
"""A set: the URLs of directories that have been used as blob stores."""

DEAD_LETTERS = f"{PREFIX}dead"
"""The dead letters by the time they were given up: a sorted set."""

METRICS = f"{PREFIX}metrics"
"""A hash: what workers have counted for Prometheus, by `agewell.shared.metrics`."""

RESULT_PREFIX = "celery-task-meta-"
"""Celery's `KeyValueStoreBackend.task_keyprefix`."""


ACTIVE_MODELS = f"{PREFIX}models:active"
"""A hash: model -> the version that was activated, for workers that start later."""

INFER_WORKERS = f"{PREFIX}infer-workers"
"""A set: each run of an infer worker that may still be there."""


def infer_worker(run: str) -> str:
    """What a run of an infer worker holds, as JSON; exists as long as it lives."""
    return f"{PREFIX}infer-worker:{run}"


def infer_commands(run: str) -> str:
    """A list: the commands to a run of an infer worker, the oldest on the right."""
    return f"{PREFIX}infer-commands:{run}"


def infer_replies(command_id: str) -> str:
    """A list: the workers' replies to a command."""
    return f"{PREFIX}infer-replies:{command_id}"


def inlet(queue: str, level: int) -> str:
    """kombu's list of the messages that plain clients push for a level; its right end is first."""
    return f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue


def inlets(queue: str) -> list[str]:
    """All of these lists of a queue, the most urgent first."""
    return [inlet(queue, level) for level in LEVELS]


def order(queue: str) -> str:
    """The waiting jobs of a queue by virtual time: a sorted set of places."""
    return f"{PREFIX}order:{queue}"


def scheduled(queue: str) -> str:
    """The jobs of a queue that are not due yet, by the time they are: a sorted set of places."""
    return f"{PREFIX}scheduled:{queue}"


def idle(queue: str) -> str:
    """The workers that wait for a job of a queue: a sorted set of their wakes, by since when."""
    return f"{PREFIX}idle:{queue}"


def wake(worker_id: str) -> str:
    """A list that an idle worker blocks on: what comes to it wakes the worker."""
    return f"{PREFIX}wake:{worker_id}"


def of_queue(queue: str) -> list[str]:
    """A queue's order, scheduled jobs, idle workers and inlets, as scripts that admit jobs want."""
    return [order(queue), scheduled(queue), idle(queue), *inlets(queue)]


@cache
def orders() -> tuple[str, ...]:
    """The order and the scheduled jobs of each queue, as the scripts that end jobs want them."""
    return tuple(key for queue in Queue for key in (order(queue), scheduled(queue)))


def aging(queue: str) -> str:
    """A hash: the beat task's notes on a queue."""
    return f"{PREFIX}aging:{queue}"


def climbs_field(level: int) -> str:
    """In that hash: how many jobs left a level, per minute, by climbing."""
    return f"climbs_per_minute:{level}"


def worker_alive(worker_id: str) -> str:
    """Exists as long as a worker lives."""
    return f"{PREFIX}worker-alive:{worker_id}"


def worker_paused(worker_id: str) -> str:
    """Why a worker takes no jobs at present; exists as long as it takes none."""
    return f"{PREFIX}worker-paused:{worker_id}"


RESERVED_PREFIX = f"{PREFIX}unacked:"


def reserved(worker_id: str) -> str:
    """A hash of what a worker has reserved.

    tag -> a newline, the queue, a newline, the job's id; for queues without an order: tag -> the
    list's name, a newline, the message.
    """
    return f"{RESERVED_PREFIX}{worker_id}"


def worker_id_of(reserved_key: str) -> str:
    """Whose reserved jobs a hash holds; empty for a hash of nobody's that this program knows."""
    is_ours = reserved_key.startswith(RESERVED_PREFIX)
    return reserved_key.removeprefix(RESERVED_PREFIX) if is_ours else ""


def queue_of(inlet_list: str) -> str:
    """The queue that an inlet belongs to."""
    return inlet_list.partition(PRIORITY_SEPARATOR)[0]


def blob(sha256: str) -> str:
    """The bytes of one image."""
    return f"{PREFIX}blob:{sha256}"


RECORD_PREFIX = f"{PREFIX}job:"


def job(job_id: str) -> str:
    """The record of one job: a hash."""
    return f"{RECORD_PREFIX}{job_id}"


def jobs(state: str) -> str:
    """The jobs in a state, by the time they came to it: a sorted set."""
    return f"{PREFIX}jobs:{state}"


def dead_letter(letter_id: str) -> str:
    """What is known of a job or a message that was given up: a hash."""
    return f"{PREFIX}dead:{letter_id}"


def dead_letter_claim(letter_id: str) -> str:
    """Exists while somebody sends a dead letter again."""
    return f"{PREFIX}dead-claim:{letter_id}"


def result(job_id: str) -> str:
    """Celery's record of one task's result: JSON."""
    return f"{RESULT_PREFIX}{job_id}"
