"""Names of all Redis keys that agewell uses, and of kombu's lists."""

from functools import cache

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue

PREFIX = "agewell:"
PRIORITY_SEPARATOR = "\x06\x16"
"""kombu's `Channel.sep`, the text between a queue's name and a priority step."""

WORKER_IDS = f"{PREFIX}worker-runs"
"""Set: the id of each run of a worker that may still have unacked jobs."""

STARTED = f"{PREFIX}started"
"""Hash: for each level given, the number of jobs started and the sum of their waits."""

COUNTS = f"{PREFIX}counts"
"""Hash: counters of rare events."""

DEADLINES = f"{PREFIX}deadlines"
"""Sorted set: ids of waiting jobs that have deadlines. The score is the deadline."""

SEQUENCE = f"{PREFIX}sequence"
"""Integer: the number of the last place that was given to a job."""

AGING_K = f"{PREFIX}aging-k"
"""Hash: queue -> its current k. The field `<queue>:set` exists if an operator has set it."""

REFUSED = f"{PREFIX}refused"
"""List: messages of plain clients that cannot be parsed. Upkeep makes dead letters of them."""

GIVEN_UP = f"{PREFIX}given-up"
"""Set: jobs that took down too many workers. Upkeep makes dead letters of them."""

BLOBS_KEPT = f"{PREFIX}blobs-kept"
"""Hash: start and progress of the last refresh of waiting jobs' blobs."""

ORPHANS = f"{PREFIX}orphans"
"""Hash: start and progress of the last search for waiting jobs without a place."""

BLOB_STORES = f"{PREFIX}blob-stores"
"""Set: the URLs of directories that have been used as blob stores."""

DEAD_LETTERS = f"{PREFIX}dead"
"""Sorted set: ids of dead letters. The score is the time at which agewell gave up."""

METRICS = f"{PREFIX}metrics"
"""Hash: the sums of `agewell.shared.metrics` for Prometheus."""

RESULT_PREFIX = "celery-task-meta-"
"""Celery's `KeyValueStoreBackend.task_keyprefix`."""


ACTIVE_MODELS = f"{PREFIX}models:active"
"""Hash: model -> its active version, for workers that start later."""

INFER_WORKERS = f"{PREFIX}infer-workers"
"""Set: the id of each run of an infer worker that may still be alive."""


CV_WORKERS = f"{PREFIX}cv-workers"
"""Set of the runs of CV workers that have published their operations."""


def cv_worker(run: str) -> str:
    """String that expires: the operations of one run of a CV worker, as JSON."""
    return f"{PREFIX}cv-worker:{run}"


CV_OPERATIONS = f"{PREFIX}cv-operations"
"""Sorted set of the operations that CV workers have published, scored by when they last did."""


def infer_worker(run: str) -> str:
    """JSON, with a TTL: the status of one run of an infer worker."""
    return f"{PREFIX}infer-worker:{run}"


def infer_commands(run: str) -> str:
    """List: commands to one run of an infer worker, the oldest on the right."""
    return f"{PREFIX}infer-commands:{run}"


def infer_replies(command_id: str) -> str:
    """List: the workers' replies to one command."""
    return f"{PREFIX}infer-replies:{command_id}"


def inlet(queue: str, level: int) -> str:
    """List, by kombu: messages that plain clients push for one level. The right end goes first."""
    return f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue


def inlets(queue: str) -> list[str]:
    """Return the inlets of all levels of a queue, the most urgent first."""
    return [inlet(queue, level) for level in LEVELS]


def order(queue: str) -> str:
    """Sorted set: places of a queue's waiting jobs. The score is the virtual time."""
    return f"{PREFIX}order:{queue}"


def scheduled(queue: str) -> str:
    """Sorted set: places of a queue's jobs that are not due yet. The score is the due time."""
    return f"{PREFIX}scheduled:{queue}"


TENANT_LIMITS = f"{PREFIX}tenant-limits"
"""Hash: tenant or team -> its weight, most running jobs and rate, with spaces between them."""

COSTS = f"{PREFIX}costs"
"""Hash: operation -> the measured seconds that a worker needs for one image."""


def arrived(queue: str) -> str:
    """Hash: jobs that came since upkeep last looked, by level, or by level, a space and tenant."""
    return f"{PREFIX}arrived:{queue}"


def load(queue: str) -> str:
    """JSON, with a TTL: the measured load of a queue, from which waits are predicted."""
    return f"{PREFIX}load:{queue}"


def candidates(queue: str) -> str:
    """Sorted set: the next job of each tenant and team. The score is the delayed virtual time."""
    return f"{PREFIX}candidates:{queue}"


def held(queue: str) -> str:
    """Sorted set: places of all waiting jobs of tenants. The score is the virtual time."""
    return f"{PREFIX}held:{queue}"


def tenants(queue: str) -> str:
    """Sorted set: tenants and teams with waiting jobs. The score is how many wait."""
    return f"{PREFIX}tenants:{queue}"


def paused_tenants(queue: str) -> str:
    """Sorted set: tenants that may run no more jobs now. The score is when to look again."""
    return f"{PREFIX}paused-tenants:{queue}"


def pace(queue: str) -> str:
    """Hash: the pace of the tenants' clocks, and the sum of the weights of those that wait."""
    return f"{PREFIX}pace:{queue}"


def tenant_jobs(queue: str, name: str) -> str:
    """Sorted set: places of a tenant's waiting jobs. The score is the virtual time."""
    return f"{PREFIX}tenant-jobs:{queue}:{name}"


def tenant(queue: str, name: str) -> str:
    """Hash: a tenant's clock, its candidate, and its share."""
    return f"{PREFIX}tenant:{queue}:{name}"


def tenant_next(name: str) -> str:
    """Text, with a TTL: when a tenant's rate allows the next job, as Unix time in seconds."""
    return f"{PREFIX}tenant-next:{name}"


def tenant_running(name: str) -> str:
    """Set: ids of a tenant's running jobs."""
    return f"{PREFIX}tenant-running:{name}"


def idle(queue: str) -> str:
    """Sorted set: wake lists of a queue's idle workers. The score is the start of the idle time."""
    return f"{PREFIX}idle:{queue}"


def wake(worker_id: str) -> str:
    """List: an idle worker blocks on it, and any element wakes the worker."""
    return f"{PREFIX}wake:{worker_id}"


def of_queue(queue: str) -> list[str]:
    """Return a queue's keys in the order in which the Lua scripts read them.

    They are its order, its scheduled jobs, its idle workers, its inlets, the candidates of its
    tenants, and its paused tenants.
    """
    return [
        order(queue),
        scheduled(queue),
        idle(queue),
        *inlets(queue),
        candidates(queue),
        paused_tenants(queue),
    ]


@cache
def orders() -> tuple[str, ...]:
    """Return the order and the scheduled jobs of every queue, for the scripts that end jobs."""
    return tuple(key for queue in Queue for key in (order(queue), scheduled(queue)))


def aging(queue: str) -> str:
    """Hash: the beat task's notes on one queue."""
    return f"{PREFIX}aging:{queue}"


def climbs_field(level: int) -> str:
    """Field of that hash: jobs per minute that climb out of a level."""
    return f"climbs_per_minute:{level}"


def worker_alive(worker_id: str) -> str:
    """Text with a TTL: a worker's heartbeat. It is how many jobs run at a time, and the queues."""
    return f"{PREFIX}worker-alive:{worker_id}"


def worker_paused(worker_id: str) -> str:
    """Text with a TTL: why a worker takes no jobs now."""
    return f"{PREFIX}worker-paused:{worker_id}"


RESERVED_PREFIX = f"{PREFIX}unacked:"


def reserved(worker_id: str) -> str:
    """Hash: the unacked deliveries of a worker, by delivery tag.

    For a job the value is a newline, the queue, a newline and the job's id. For a message of a
    queue without an order it is the name of the list, a newline and the message.
    """
    return f"{RESERVED_PREFIX}{worker_id}"


def worker_id_of(reserved_key: str) -> str:
    """Return the worker id in the name of an unacked hash, or '' if the name is not ours."""
    is_ours = reserved_key.startswith(RESERVED_PREFIX)
    return reserved_key.removeprefix(RESERVED_PREFIX) if is_ours else ""


def queue_of(inlet_list: str) -> str:
    """Return the queue of an inlet."""
    return inlet_list.partition(PRIORITY_SEPARATOR)[0]


def blob(sha256: str) -> str:
    """Bytes with a TTL: one image."""
    return f"{PREFIX}blob:{sha256}"


RECORD_PREFIX = f"{PREFIX}job:"


def job(job_id: str) -> str:
    """Hash: the record of one job."""
    return f"{RECORD_PREFIX}{job_id}"


def jobs(state: str) -> str:
    """Sorted set: ids of the jobs in one state. The score is the time at which they entered it."""
    return f"{PREFIX}jobs:{state}"


def dead_letter(letter_id: str) -> str:
    """Hash: one dead letter."""
    return f"{PREFIX}dead:{letter_id}"


def dead_letter_claim(letter_id: str) -> str:
    """Key with a TTL: exists while a command resends a dead letter."""
    return f"{PREFIX}dead-claim:{letter_id}"


def result(job_id: str) -> str:
    """JSON, by Celery: the result of one task."""
    return f"{RESULT_PREFIX}{job_id}"
