"""The settings: read once from the environment at an entry point, then passed down.

This is the only module that reads the environment.
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

from agewell.shared.errors import SettingsError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.setting_names import PREFIX, SECRETS_DIR, check_files, check_variables
from agewell.shared.setting_types import (
    AbsolutePath,
    BlobUrl,
    KByQueue,
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
    usable_cores,
    xdg_state_home,
)
from agewell.shared.text.problems import first_problem

SECRETS = ("redis_url", "flower_password", "blob_url")
"""Settings whose values are never shown, not even wrong ones."""
DEFAULT_K_PER_S = 0.05
MAX_DELIVERIES = 3
RESULT_TTL_S = 86_400
MAX_MESSAGE_BYTES = 4 * 2**20
"""A job of 64 images of 32 KiB inside its message takes 3.7 MB."""


class Settings(BaseSettings):
    """Every setting of agewell; each is the environment variable AGEWELL_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis, as redis://, rediss://, unix:// or sentinel://host:port;sentinel://... "
        "Unset: the embedded one of the `agewell up` that runs with the same state directory.",
    )
    sentinel_master: str = Field(
        default="mymaster",
        min_length=1,
        description="The name by which the sentinels know the Redis, for a sentinel:// URL.",
    )
    state_dir: AbsolutePath = Field(
        default_factory=lambda: xdg_state_home() / "agewell",
        description="Where `agewell up` keeps its Redis data, its blobs, its logs and its lock.",
    )
    blob_url: BlobUrl | None = Field(
        default=None,
        repr=False,
        description="Where image bytes lie: `redis`, or an fsspec URL such as file:///srv/blobs "
        "or s3://bucket/prefix. Unset: the state directory beside the embedded Redis, else redis.",
    )
    blob_ttl_s: WholeSeconds = Field(
        default=86_400, description="Seconds that image bytes are kept after their last use."
    )
    result_ttl_s: WholeSeconds = Field(
        default=RESULT_TTL_S,
        description="Seconds that the record and the result of an ended job are kept.",
    )
    done_ttl_s: WholeSeconds | None = Field(
        default=None,
        description="The same for jobs that are done. Unset: as long as for the others.",
    )
    max_file_bytes: PositiveInt = Field(
        default=64 * 2**20, description="The largest image file, in bytes."
    )
    max_message_bytes: PositiveInt = Field(
        default=MAX_MESSAGE_BYTES,
        description="The largest message of a job, in bytes: producers are refused larger ones, "
        "and workers put those of other programs among the dead letters.",
    )
    max_pixels: PositiveInt = Field(
        default=50_000_000, description="The most pixels in one image, read before any decoding."
    )
    max_side: PositiveInt = Field(
        default=16_384, description="The longest side of one image, in pixels."
    )
    concurrency: PositiveInt = Field(
        default_factory=usable_cores,
        description="Jobs that the cv workers of one machine run at a time.",
    )
    pool: Literal["prefork", "threads"] = Field(
        default="prefork",
        description="How a cv worker runs jobs side by side: in processes or in threads.",
    )
    models_dir: AbsolutePath = Field(
        default_factory=lambda: Path(__file__).parents[1] / "models",
        description="Models, as name/version/model.yaml. Unset: those that come with agewell.",
    )
    models_memory_bytes: PositiveInt = Field(
        default=4 * 2**30,
        description="What the weights of the models in one worker's memory may take; what was "
        "used longest ago leaves first.",
    )
    infer_concurrency: PositiveInt = Field(
        default=32, description="Jobs that an infer worker runs at a time, to share batches."
    )
    poisson_backend: Literal["auto", "numba", "numpy", "taichi-cpu"] = Field(
        default="auto", description="fpie's backend for Poisson blending; auto: the best usable."
    )
    poisson_max_pixels: PositiveInt = Field(
        default=8_000_000,
        description="Pixels of the box around a Poisson blend's mask; a million take 0.3 GB.",
    )
    job_memory_bytes: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Memory that one process of a cv worker may take. Unset: as much as the "
        "largest images and blends within the other limits need, 4.4 GB by default. 0: no limit.",
    )
    flower_host: str = Field(default="127.0.0.1", description="Where Flower listens.")
    flower_port: Port = Field(default=5555, description="Flower's port; 0: any free one.")
    flower_user: str = Field(
        default="agewell",
        pattern=r"^[!-9;-~]+$",
        description="The user name that Flower asks for, where it has a password.",
    )
    flower_password: Password | None = Field(
        default=None,
        description="The password that Flower asks for, in ASCII. Unset: none, and it listens on "
        "loopback addresses only.",
    )
    flower_url_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._~/-]*$",
        description="The path below which a proxy shows Flower.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Where the metrics for Prometheus are served."
    )
    metrics_port: Port | None = Field(
        default=None,
        description="The port of the metrics; 0: any free one. Unset: `agewell up` serves none.",
    )
    aging_k: NotNegative = Field(
        default=DEFAULT_K_PER_S,
        description="How fast waiting jobs gain weight, e^(k t): per second. "
        "A level is worth a head start of 1/k seconds; 0: levels are strict.",
    )
    aging_k_by_queue: KByQueue = Field(
        default_factory=dict,
        description='k of single queues, as JSON: {"infer": 0.1}.',
    )
    aging_interval_s: PositiveTime = Field(
        default=1.0,
        description="Seconds between ticks of the beat task: it re-scores waiting jobs after a "
        "change of k, and counts how many climb.",
    )
    max_waiting: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="The most jobs that may wait in one queue: producers are refused more, or "
        "wait with --block. 0: no limit.",
    )
    job_time_limit_s: NotNegativeTime = Field(
        default=3600.0,
        description="Seconds that one job may run: then it fails, and its worker process is "
        "replaced. 0: no limit.",
    )
    max_deliveries: PositiveInt = Field(
        default=MAX_DELIVERIES,
        description="Times that a job may start and have its worker end before it has: "
        "it goes to the dead letters then.",
    )
    drain_s: PositiveTime = Field(
        default=8.0,
        description="Seconds that running jobs are given to end on SIGTERM; the rest is requeued.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="How much the workers log."
    )
    log_max_bytes: PositiveInt = Field(
        default=10 * 2**20,
        description="The size, in bytes, at which `agewell up` rotates a log.",
    )
    log_files: NotNegativeInt = Field(
        default=5,
        description="How many rotated logs of each program `agewell up` keeps beside the current "
        "one.",
    )

    @property
    def lifetimes_s(self) -> tuple[int, int]:
        """Seconds that records are kept: of jobs that are done, and of others that ended."""
        return self.done_ttl_s or self.result_ttl_s, self.result_ttl_s

    @property
    def threads_per_job(self) -> int:
        """Threads that one running job may use: concurrency x threads <= cores."""
        return max(1, usable_cores() // self.concurrency)

    def flower_login(self) -> str | None:
        """What Flower asks for, as user:password; None where only this machine can reach it.

        Raises:
            SettingsError: others can reach it, and it has no password.
        """
        if self.flower_password is not None:
            return f"{self.flower_user}:{self.flower_password.get_secret_value()}"
        if not is_loopback(self.flower_host):
            raise SettingsError(
                f"{PREFIX}FLOWER_PASSWORD",
                f"must be set, as Flower shall listen on {self.flower_host}: others reach it there",
            )
        return None

    def k_of(self, queue: str) -> float:
        """k of a queue, per second, unless an operator has set another (`agewell aging`)."""
        return self.aging_k_by_queue.get(queue, self.aging_k)

    def k_by_queue(self) -> dict[str, float]:
        """k of every queue, per second, unless an operator has set another."""
        return {queue.value: self.k_of(queue.value) for queue in Queue}

    @model_validator(mode="wrap")
    @classmethod
    def _name_what_is_wrong(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Turn pydantic's error into one that names the variable and shows no secret."""
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
        """Read the environment.

        With AGEWELL_SECRETS_DIR, a file there named like a variable, in lower case, is the value of
        that variable where the environment has none: so are secrets given to containers.

        Raises:
            SettingsError: a value is bad, or a name is unknown; the error names the variable.
        """
        check_variables(os.environ, cls.model_fields)
        secrets = os.environ.get(SECRETS_DIR) or None
        if secrets is not None:
            check_files(Path(secrets), cls.model_fields)
        options: dict[str, Any] = {"_secrets_dir": secrets}
        return cls(**options)
