"""The settings: read once from the environment at an entry point, then passed down.

No other module reads settings from the environment.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from agewell.shared.cores import usable_cores
from agewell.shared.errors import SettingsError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.setting_names import PREFIX, SECRETS_DIR, check_files, check_variables
from agewell.shared.setting_types import (
    AbsolutePath,
    BlobUrl,
    KByQueue,
    ModuleNames,
    NotNegative,
    NotNegativeInt,
    NotNegativeTime,
    Password,
    Port,
    PositiveInt,
    PositiveTime,
    RedisUrl,
    WholeSeconds,
    is_loopback,
    xdg_state_home,
)
from agewell.shared.text.problems import first_problem

SECRETS = ("redis_url", "flower_password", "blob_url")
"""Settings whose values are never shown, not even in errors."""
OWN_MODELS = Path(__file__).absolute().parents[1] / "models"
"""The models that come with agewell."""
DEFAULT_K_PER_S = 0.05
"""The default k of the aging formula, per second: a job climbs one level every 20 seconds."""
MAX_DELIVERIES = 3
RESULT_TTL_S = 86_400
MAX_MESSAGE_BYTES = 4 * 2**20
"""Enough for a job with 64 inline images of 32 KiB, whose message has 3.7 MB."""


class Settings(BaseSettings):
    """All settings of agewell. Each is read from the environment variable AGEWELL_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl | None = Field(
        default=None,
        description="URL of the Redis to use: redis://, rediss://, unix://, or several Sentinels "
        "as sentinel://host:port;sentinel://host:port. "
        "Unset: the embedded Redis of the `agewell up` that runs with the same state directory.",
    )
    sentinel_master: str = Field(
        default="mymaster",
        min_length=1,
        description="Name of the Redis master to ask the Sentinels for. Used with a sentinel:// "
        "URL only.",
    )
    state_dir: AbsolutePath = Field(
        default_factory=lambda: xdg_state_home() / "agewell",
        description="Directory in which `agewell up` keeps its Redis data, blobs, logs and lock.",
    )
    health_dir: AbsolutePath | None = Field(
        default=None,
        description="Directory in which the parts of the stack note that they work, for the health "
        "checks of containers. Unset: they do not.",
    )
    blob_url: BlobUrl | None = Field(
        default=None,
        repr=False,
        description="Blob store for image bytes: `redis`, or an fsspec URL such as "
        "file:///srv/blobs or s3://bucket/prefix. Unset: a directory below the state directory if "
        "the embedded Redis is used, otherwise `redis`.",
    )
    blob_ttl_s: WholeSeconds = Field(
        default=86_400,
        description="Time to keep image bytes after their last use, in whole seconds.",
    )
    result_ttl_s: WholeSeconds = Field(
        default=RESULT_TTL_S,
        description="Time to keep the record and the result of a job after its end, in whole "
        "seconds.",
    )
    done_ttl_s: WholeSeconds | None = Field(
        default=None,
        description="The same for jobs in the state done, in whole seconds. Unset: as "
        "long as other jobs.",
    )
    max_file_bytes: PositiveInt = Field(
        default=64 * 2**20, description="Largest image file that agewell accepts, in bytes."
    )
    max_message_bytes: PositiveInt = Field(
        default=MAX_MESSAGE_BYTES,
        description="Largest message of a job, in bytes. A producer gets an error for a larger "
        "one. A larger one from another program becomes a dead letter.",
    )
    max_pixels: PositiveInt = Field(
        default=50_000_000,
        description="Most pixels that one image may have. Checked before the image is decoded.",
    )
    max_side: PositiveInt = Field(
        default=16_384, description="Longest side that an image may have, in pixels."
    )
    concurrency: PositiveInt = Field(
        default_factory=usable_cores,
        description="Number of jobs that the cv workers of one machine run at the same time.",
    )
    pool: Literal["prefork", "threads"] = Field(
        default="prefork",
        description="How a cv worker runs several jobs at the same time: in processes (prefork) "
        "or in threads.",
    )
    models_dir: AbsolutePath = Field(
        default_factory=lambda: OWN_MODELS,
        description="Directory of models, each as name/version/model.yaml. Unset: the models that "
        "come with agewell, and those in the directory models of AGEWELL_STATE_DIR.",
    )
    models_memory_bytes: PositiveInt = Field(
        default=4 * 2**30,
        description="Memory for model weights in one infer worker, in bytes. If a model does not "
        "fit, the least recently used ones are unloaded first.",
    )
    infer_concurrency: PositiveInt = Field(
        default=32,
        description="Number of jobs that an infer worker runs at the same time. Their images "
        "share batches.",
    )
    infer_threads: PositiveInt | None = Field(
        default=None,
        description="Threads of one pass of a model on the CPU. Unset: one for each core that the "
        "infer worker may use.",
    )
    operations: ModuleNames = Field(
        default=(),
        description="Your modules with operations, separated by commas: names such as "
        "`my_package.ops`, or files such as `./ops.py`. Only CV workers read it.",
    )
    poisson_backend: Literal["auto", "numba", "numpy", "taichi-cpu"] = Field(
        default="auto",
        description="Backend that the fpie package uses for Poisson blending. auto: the best one "
        "that works here.",
    )
    poisson_max_pixels: PositiveInt = Field(
        default=8_000_000,
        description="Most pixels in the bounding box of a Poisson blend's mask. A million pixels "
        "take 0.3 GB of memory.",
    )
    job_memory_bytes: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Memory that one process of a cv worker may use, in bytes. Unset: enough for "
        "the largest images and blends that the other limits allow, 4.4 GB with their defaults. "
        "0: no limit.",
    )
    flower_host: str = Field(
        default="127.0.0.1", description="Address or host name on which Flower listens."
    )
    flower_port: Port = Field(
        default=5555, description="Port on which Flower listens. 0: any free port."
    )
    flower_user: str = Field(
        default="agewell",
        pattern=r"^[!-9;-~]+$",
        description="User name to log in to Flower. Used if AGEWELL_FLOWER_PASSWORD is set.",
    )
    flower_password: Password | None = Field(
        default=None,
        description="Password to log in to Flower, in ASCII. Unset: no login, and Flower may "
        "listen on loopback addresses only.",
    )
    flower_url_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._~/-]*$",
        description="URL path of Flower behind a reverse proxy, such as /flower.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address or host name on which metrics for Prometheus are served.",
    )
    metrics_port: Port | None = Field(
        default=None,
        description="Port on which metrics for Prometheus are served. 0: any free port. "
        "Unset: `agewell up` serves none.",
    )
    aging_k: NotNegative = Field(
        default=DEFAULT_K_PER_S,
        description="k, per second: how fast a waiting job's weight e^(k t - level) grows. "
        "A job climbs one level every 1/k seconds. 0: no aging, so a more urgent level always "
        "goes first.",
    )
    aging_k_by_queue: KByQueue = Field(
        default_factory=dict,
        description='k of single queues, per second, as JSON such as {"infer": 0.1}. Other queues '
        "use AGEWELL_AGING_K.",
    )
    aging_interval_s: PositiveTime = Field(
        default=1.0,
        description="Time between two runs of the beat task, in seconds. The task moves waiting "
        "jobs after a change of k, and counts how many climb.",
    )
    max_waiting: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Most jobs that may wait in one queue. Beyond it a producer gets an error, or "
        "waits if it uses --block. 0: no limit.",
    )
    job_time_limit_s: NotNegativeTime = Field(
        default=3600.0,
        description="Longest time that one job may run, in seconds. After it the job fails and its "
        "worker process is replaced. 0: no limit.",
    )
    max_deliveries: PositiveInt = Field(
        default=MAX_DELIVERIES,
        description="How many times a job may take its worker down before it becomes a dead "
        "letter.",
    )
    drain_s: PositiveTime = Field(
        default=8.0,
        description="Time that a worker gives its running jobs to end after SIGTERM, in seconds. "
        "Jobs that are still running then are requeued.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level of messages that the workers log."
    )
    log_max_bytes: PositiveInt = Field(
        default=10 * 2**20,
        description="Size of a log file at which `agewell up` rotates it, in bytes.",
    )
    log_files: NotNegativeInt = Field(
        default=5,
        description="Number of rotated log files that `agewell up` keeps for each program, in "
        "addition to the current one.",
    )

    @property
    def lifetimes_s(self) -> tuple[int, int]:
        """Seconds to keep the records of done jobs, and of jobs that ended in another state."""
        return self.done_ttl_s or self.result_ttl_s, self.result_ttl_s

    @property
    def model_dirs(self) -> tuple[Path, ...]:
        """The directories of models that a worker serves from.

        agewell's own directory is not written to. So if that one is used, exports are in the state
        directory, and are served from there.
        """
        if self.models_dir != OWN_MODELS:
            return (self.models_dir,)
        return self.models_dir, self.state_dir / "models"

    @property
    def threads_per_job(self) -> int:
        """Threads that one running job may use, so that all jobs together use every core once."""
        return max(1, usable_cores() // self.concurrency)

    @property
    def threads_per_pass(self) -> int:
        """Threads of one pass of a model on the CPU."""
        return self.infer_threads or usable_cores()

    def flower_login(self) -> str | None:
        """Return Flower's login as user:password, or None if it needs none.

        Raises:
            SettingsError: Flower listens on an address that other machines can reach, and has no
                password.
        """
        if self.flower_password is not None:
            return f"{self.flower_user}:{self.flower_password.get_secret_value()}"
        if not is_loopback(self.flower_host):
            raise SettingsError(
                f"{PREFIX}FLOWER_PASSWORD",
                f"must be set, because other machines can reach Flower on {self.flower_host}; "
                "or set AGEWELL_FLOWER_HOST to 127.0.0.1",
            )
        return None

    def k_of(self, queue: str) -> float:
        """Return k of a queue, per second. An operator may override it (`agewell aging`)."""
        return self.aging_k_by_queue.get(queue, self.aging_k)

    def k_by_queue(self) -> dict[str, float]:
        """Return k of every queue, per second. An operator may override each."""
        return {queue.value: self.k_of(queue.value) for queue in Queue}

    @model_validator(mode="wrap")
    @classmethod
    def _name_what_is_wrong(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Replace pydantic's error by one that names the variable and shows no secret."""
        try:
            return handler(values)
        except ValidationError as error:
            problem = first_problem(error)
            field, *inner = problem.place
            within = f"{'.'.join(inner)}: " if inner else ""
            found = "" if field in SECRETS or not problem.found else f" (found {problem.found})"
            raise SettingsError(PREFIX + field.upper(), within + problem.reason + found) from None

    @classmethod
    def load(cls) -> Self:
        """Read the settings from the environment.

        AGEWELL_SECRETS_DIR may name a directory of files, as containers get secrets. A file named
        like a variable, in lower case, gives its value unless the environment has it too.

        Raises:
            SettingsError: a value is bad, or a name is unknown. The error names the variable.
        """
        check_variables(os.environ, cls.model_fields)
        secrets = os.environ.get(SECRETS_DIR) or None
        if secrets is not None:
            check_files(Path(secrets), cls.model_fields)
        options: dict[str, Any] = {"_secrets_dir": secrets}
        return cls(**options)
