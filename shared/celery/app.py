"""The Celery app of producers and workers, with the settings that keep jobs safe and in order."""

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Exchange
from kombu import Queue as KombuQueue

from agewell.shared.celery.private_api import PRODUCER, WORKER, check_hooks
from agewell.shared.celery.transport import AMQP
from agewell.shared.protocol.levels import DEFAULT_LEVEL, LEVELS
from agewell.shared.protocol.tasks import Queue, Task
from agewell.shared.redis.connection import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    HEALTH_CHECK_INTERVAL_S,
    KEEPALIVE_OPTIONS,
    RECONNECT_EVERY_S,
    url_of,
)
from agewell.shared.settings import Settings

KEEP_BLOBS_INTERVAL_S = 10.0
BLOB_SWEEP_INTERVAL_S = 600.0
RETURN_JOBS_INTERVAL_S = 1.0
EXPIRE_JOBS_INTERVAL_S = 1.0
FIND_LOST_JOBS_INTERVAL_S = 10.0
VISIBILITY_TIMEOUT_S = 7 * 86_400
"""Longer than any job, so that kombu never requeues one: agewell's heartbeats find dead workers."""


def broker_url(redis_url: str) -> str:
    """Return kombu's form of a redis-py URL. A unix socket is redis+socket:// there."""
    if redis_url.startswith("unix://"):
        path, _, query = redis_url.removeprefix("unix://").partition("?")
        return f"redis+socket://{path}?{query.replace('db=', 'virtual_host=')}"
    if redis_url.startswith("rediss://") and "ssl_cert_reqs=" not in redis_url:
        # redis-py's default, but not kombu's: the server must have a trusted certificate.
        return f"{redis_url}{'&' if '?' in redis_url else '?'}ssl_cert_reqs=required"
    return redis_url


def results_url(broker: str) -> str:
    """Return Celery's URL for results: the broker's Redis, with agewell's backend class."""
    name = "SentinelResults" if broker.startswith("sentinel") else "Results"
    return f"agewell.shared.celery.result_backend.{name}+{broker.removeprefix('redis+')}"


def make_app(settings: Settings, include: Sequence[str] = (), amqp: type[AMQP] = AMQP) -> Celery:
    """Build the Celery app.

    Args:
        settings: completed by `locate`.
        include: modules of tasks, which each worker process imports. A producer needs none.
        amqp: the class that publishes and consumes.

    Raises:
        IncompatibleError: the installed Celery, kombu or redis-py lacks a part that agewell needs.
    """
    check_hooks(PRODUCER if amqp is AMQP else (*PRODUCER, *WORKER))
    url = broker_url(url_of(settings))
    app = Celery("agewell", broker=url, backend=results_url(url), include=list(include), amqp=amqp)
    app.conf.update(_config(settings))
    return app


def _config(settings: Settings) -> dict[str, Any]:
    return {
        # JSON on both sides: a message can never run code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "result_expires": settings.result_ttl_s,
        "agewell_lifetimes_s": settings.lifetimes_s,
        **_worker_options(settings),
        **_queue_options(),
        **_redis_options(settings),
        "beat_schedule": _beat_schedule(settings),
    }


def _worker_options(settings: Settings) -> dict[str, Any]:
    return {
        # A message is acknowledged when its job has ended, not when it was taken.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A worker reserves only jobs that it can start, because reserved jobs cannot age.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Fresh interpreters: fpie's OpenMP and torch hang in forked children.
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 60.0,
        "worker_concurrency": settings.concurrency,
        "worker_hijack_root_logger": False,
    }


def _queue_options() -> dict[str, Any]:
    return {
        "task_default_queue": Queue.CV.value,
        "task_default_priority": DEFAULT_LEVEL,
        "task_inherit_parent_priority": True,
        "task_queues": [
            KombuQueue(queue.value, Exchange(queue.value), routing_key=queue.value)
            for queue in Queue
        ],
        "task_create_missing_queues": False,
        "task_routes": {
            "cv.*": {"queue": Queue.CV.value},
            "infer.*": {"queue": Queue.INFER.value},
            "aging.*": {"queue": Queue.UPKEEP.value},
            "upkeep.*": {"queue": Queue.UPKEEP.value},
        },
    }


def _redis_options(settings: Settings) -> dict[str, Any]:
    return {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(settings),
        **_tcp_options(settings),
        "result_backend_transport_options": {
            "retry_policy": {"timeout": 5.0},
            "master_name": settings.sentinel_master,
        },
        "redis_socket_connect_timeout": CONNECT_TIMEOUT_S,
        "redis_socket_timeout": ANSWER_TIMEOUT_S,
        "redis_backend_health_check_interval": HEALTH_CHECK_INTERVAL_S,
    }


def _beat_schedule(settings: Settings) -> dict[str, Any]:
    keep_blobs_s = min(KEEP_BLOBS_INTERVAL_S, settings.blob_ttl_s / 16)
    sweep_blobs_s = min(BLOB_SWEEP_INTERVAL_S, settings.blob_ttl_s / 4)
    return {
        "sweep-aging": _every(settings.aging_interval_s, Task.SWEEP_AGING),
        "keep-blobs": _every(keep_blobs_s, Task.KEEP_BLOBS),
        "sweep-blobs": _every(sweep_blobs_s, Task.SWEEP_BLOBS),
        "return-jobs": _every(RETURN_JOBS_INTERVAL_S, Task.RETURN_JOBS),
        "expire-jobs": _every(EXPIRE_JOBS_INTERVAL_S, Task.EXPIRE_JOBS),
        "find-lost-jobs": _every(FIND_LOST_JOBS_INTERVAL_S, Task.FIND_LOST_JOBS),
    }


def _every(interval_s: float, task: Task) -> dict[str, Any]:
    """Return a beat entry. Its fixed task id keeps entries from piling up while upkeep is down."""
    return {"task": task.value, "schedule": interval_s, "options": {"task_id": task.value}}


def _tcp_options(settings: Settings) -> dict[str, Any]:
    """Return options for TCP connections only, which redis-py refuses for a unix socket."""
    if url_of(settings).startswith("unix://"):
        return {}
    return {"redis_socket_keepalive": True}


def _transport_options(settings: Settings) -> dict[str, Any]:
    return {
        "priority_steps": list(LEVELS),
        "max_message_bytes": settings.max_message_bytes,
        "lifetimes_s": settings.lifetimes_s,
        "max_deliveries": settings.max_deliveries,
        "aging_k": settings.k_by_queue(),
        "queue_order_strategy": "priority",
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE_OPTIONS,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        "interval_start": RECONNECT_EVERY_S,
        "interval_step": 0.0,
        "interval_max": RECONNECT_EVERY_S,
        "master_name": settings.sentinel_master,
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
    }
