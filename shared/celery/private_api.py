"""The private parts of Celery, kombu and redis-py that agewell overrides or calls.

If a later version renamed one, agewell's override would silently never be called, and jobs could
be lost. So every program checks for all of them at its start, and stops if one is missing.
"""

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from agewell.shared.errors import IncompatibleError

TESTED: Final = {
    "celery": ">=5.7,<5.8",
    "kombu": ">=5.7,<5.8",
    "billiard": ">=4.3,<4.4",
    "redis": ">=6.4,<9",
}
"""The supported versions, as in pyproject.toml."""


@dataclass(frozen=True)
class Hooks:
    """The parts of one class or module that agewell needs."""

    owner: str
    """The module, as `package.module`, or the class, as `package.module:Class`."""
    members: tuple[str, ...] = ()
    """Functions, methods and class attributes that the owner must define itself."""
    attributes: tuple[str, ...] = ()
    """Instance attributes, which must be named in the code of the class or its bases."""


PRODUCER: Final = (
    Hooks(
        "kombu.transport.redis:Channel",
        (
            "_size", "_purge", "_queue_bind", "_delete", "_put", "_receive_one",
            "create_publish_batch", "conn_or_acquire", "pool", "_q_for_pri", "_connparams",
            "priority_steps", "global_keyprefix", "keyprefix_queue", "keyprefix_binding_permanent",
            "sep", "from_transport_options",
        ),
        ("client", "_expires"),
    ),
    Hooks("kombu.transport.redis:PublishBatch", ("add",)),
    Hooks("kombu.transport.redis:Transport", ("Channel",)),
    Hooks(
        "kombu:Connection",
        ("Pool", "get_transport_cls", "__eqhash__", "info", "ensure_connection"),
    ),
    Hooks("kombu.connection:ConnectionPool", ("new",), ("connection",)),
    Hooks("kombu.utils.json", ("dumps", "loads")),
    Hooks(
        "celery.app.amqp:AMQP",
        ("_create_task_sender", "send_task_message", "as_task_v2", "Connection"),
    ),
    Hooks(
        "celery.backends.redis:RedisBackend",
        ("on_chord_part_return", "ensure", "client", "_create_client"),
        ("expires",),
    ),
    Hooks("celery.backends.redis:SentinelBackend"),
    Hooks("celery.backends.base:BaseKeyValueStoreBackend", ("_store_result",)),
    Hooks(
        "celery.backends.base:Backend",
        (
            "mark_as_done", "mark_as_failure", "mark_as_revoked", "chord_error_from_stack",
            "_get_result_meta", "encode",
            "_encode", "prepare_exception", "exception_to_python", "decode_result", "_fail_chain",
            "_call_task_errbacks",
        ),
    ),
)  # fmt: skip

WORKER: Final = (
    Hooks(
        "kombu.transport.redis:Channel",
        (
            "QoS", "basic_consume", "basic_cancel", "close", "_get", "_brpop_start", "_brpop_read",
            "_on_connection_disconnect", "_flush_brpop_reauth", "_maybe_update_queues_expire",
            "active_queues", "unacked_key",
        ),
        ("connection_errors", "_in_poll", "_brpop_sent_at", "_queue_cycle", "_closing"),
    ),
    Hooks("kombu.transport.redis:MultiChannelPoller", ("_register_BRPOP",)),
    Hooks(
        "kombu.transport.redis:QoS",
        (
            "append", "ack", "reject", "restore_unacked", "restore_by_tag", "restore_visible",
        ),
        ("_delivered", "unacked_key"),
    ),
    Hooks("kombu.transport.virtual:QoS", ("append", "ack", "can_consume")),
    Hooks("kombu.transport.virtual:Channel", ("basic_get", "qos")),
    Hooks("kombu.transport.virtual:Transport", ("_deliver",)),
    Hooks(
        "celery.worker.request:Request",
        (
            "on_failure", "on_timeout", "on_retry", "terminate", "execute_using_pool", "_context",
            "store_errors", "send_event", "acknowledge", "reject", "time_limits", "time_start",
        ),
    ),
    Hooks(
        "celery.worker.state",
        ("active_requests", "task_ready", "should_stop", "should_terminate"),
    ),
    Hooks("celery.worker:WorkController", ("_process_task",), ("_quick_release",)),
    Hooks("celery.worker.consumer:Consumer", ("timer", "Blueprint", "restart_count")),
    Hooks("celery.worker.consumer.mingle:Mingle", ("send_hello",)),
    Hooks("celery.worker.consumer.gossip:Gossip"),
    Hooks("celery.bootsteps:Blueprint", ("_finalize_steps",)),
    Hooks("celery.bootsteps:ConsumerStep", ("stop",)),
    Hooks("celery.worker.consumer.tasks:Tasks", (), ("task_consumer",)),
    Hooks("celery.app.task:Task", ("Request", "retry", "signature_from_request")),
    Hooks("celery.concurrency.prefork:TaskPool", ("Pool",)),
    Hooks("celery.app.trace", ("fast_trace_task",)),
    Hooks(
        "celery.concurrency.asynpool:AsynPool",
        ("_create_write_handlers",),
        (
            "_quick_put", "outbound_buffer", "_all_inqueues", "_active_writes", "_busy_workers",
            "on_poll_start",
        ),
    ),
    Hooks("billiard.pool:Pool", ("apply_async",)),
    Hooks("kombu.asynchronous.hub:Hub", (), ("consolidate_callback",)),
    Hooks(
        "redis.connection:AbstractConnection",
        ("send_command", "read_response", "disconnect"),
    ),
    Hooks("redis.connection:ConnectionPool", ("disconnect",)),
)  # fmt: skip


def check_hooks(hooks: Iterable[Hooks]) -> None:
    """Check that every hook exists.

    Raises:
        IncompatibleError: one does not. The error names it and the supported versions.
    """
    for each in hooks:
        for missing in _missing(each):
            package = each.owner.partition(".")[0].partition(":")[0]
            raise IncompatibleError(package, version(package), missing, TESTED[package])


def _missing(hooks: Hooks) -> Iterator[str]:
    module_name, _, class_name = hooks.owner.partition(":")
    try:
        owner: Any = import_module(module_name)
        owner = getattr(owner, class_name) if class_name else owner
    except (ImportError, AttributeError):
        yield hooks.owner
        return
    shown = class_name or module_name
    yield from (f"{shown}.{name}" for name in hooks.members if name not in vars(owner))
    if hooks.attributes:
        named = _names_in(owner)
        yield from (f"{shown}.{name}" for name in hooks.attributes if name not in named)


def _names_in(owner: type) -> set[str]:
    """Return every name that the code of a class and of its bases mentions or defines."""
    found = set(dir(owner))
    for each in owner.__mro__:
        for value in vars(each).values():
            if isinstance(value, types.FunctionType):
                found.update(value.__code__.co_names)
    return found
