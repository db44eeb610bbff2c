"""Every Redis key of ours, and the names that kombu gives to its lists."""

PREFIX = "agewell:"
PRIORITY_SEPARATOR = "\x06\x16"
"""kombu's `Channel.sep`, between a queue's name and a priority step."""

WORKER_RUNS = f"{PREFIX}worker-runs"
"""A set: each run of a worker whose reserved messages may still have to be returned."""

STARTED = f"{PREFIX}started"
"""A hash: by the level given, how many jobs have started, and how long they waited in all."""

COUNTS = f"{PREFIX}counts"
"""A hash: how often what should be rare has happened."""

DEADLINES = f"{PREFIX}deadlines"
"""The waiting jobs that have deadlines, by those: a sorted set."""

BLOBS_KEPT = f"{PREFIX}blobs-kept"
"""Exists until the images of jobs that have waited for long shall be kept again."""

BLOB_STORES = f"{PREFIX}blob-stores"
"""A set: the URLs of directories that have been used as blob stores."""

SUSPECTS = f"{PREFIX}suspects"
"""The open jobs that the last look found nowhere: a set."""

LISTS_WALKED = f"{PREFIX}lists-walked"
"""Exists until all lists shall be searched for lost jobs again, whatever the counts say."""

DEAD_LETTERS = f"{PREFIX}dead"
"""The dead letters by the time they were given up: a sorted set."""

METRICS = f"{PREFIX}metrics"
"""A hash: what workers have counted for Prometheus, by `shared.metrics`."""

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


def waiting_list(queue: str, level: int) -> str:
    """kombu's list of the jobs of a queue that wait on a level (its right end is the head)."""
    return f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue


def aging(queue: str) -> str:
    """What the sweeps of a queue have done: a hash."""
    return f"{PREFIX}aging:{queue}"


def climbs_field(level: int) -> str:
    """In the hash of a queue's sweeps: how many jobs left a level, per minute, by climbing."""
    return f"climbs_per_minute:{level}"


def worker_alive(run: str) -> str:
    """Exists as long as a run of a worker lives."""
    return f"{PREFIX}worker-alive:{run}"


def worker_paused(run: str) -> str:
    """Why a run of a worker takes no jobs at present; exists as long as it takes none."""
    return f"{PREFIX}worker-paused:{run}"


def run_of(unacked_key: str) -> str:
    """Whose reserved messages a hash holds; nobody's that this program knows where it is empty."""
    return unacked_key.removeprefix(unacked("")) if unacked_key.startswith(unacked("")) else ""


def unacked(run: str) -> str:
    """A hash of what a run has reserved: tag -> its list's name, a newline, the message."""
    return f"{PREFIX}unacked:{run}"


def queue_of(waiting: str) -> str:
    """The queue that a waiting list belongs to."""
    return waiting.partition(PRIORITY_SEPARATOR)[0]


def blob(sha256: str) -> str:
    """The bytes of one image."""
    return f"{PREFIX}blob:{sha256}"


def job(job_id: str) -> str:
    """The ledger's record of one job: a hash."""
    return f"{PREFIX}job:{job_id}"


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
