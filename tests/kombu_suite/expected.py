"""The tests of kombu's that fail on the workers' channel, each with its reason.

A test of this list that passes fails the run, as does one that fails and is not listed. The
producers' channel has no such list: all of kombu's tests pass on it.
"""

HEAD = "A requeued message is the next to be taken: it was due first. kombu puts it last."
PENDING = (
    "The test counts BRPOP's answers. The workers' channel takes by a script, and waits after."
)
DEFERRED = "An acknowledgement goes with the next take. The test looks for it before that."
INDEX = (
    "The test reads kombu's index of unacknowledged messages, or waits for the visibility timeout."
    " The workers' channel has neither: a dead worker's messages return when its heartbeat stops."
)

_VARIANTS = ("None", "connection1")
"""pytest's names of the connections: without global_keyprefix and with it."""

_IN_BOTH_VARIANTS = {
    "test_RedisPriority::test_publish_requeue_consume": HEAD,
    "test_RedisRestoreVisible::test_restore_visible_requeues_expired_unacked": INDEX,
    "test_RedisRestoreBindingLookupFailure::test_failed_requeue_keeps_message_unacked": INDEX,
    "test_RedisRestoreBindingLookupFailure::test_failed_restore_visible_keeps_message_unacked": (
        INDEX
    ),
    "test_RedisRestoreAtShutdown::test_unacked_message_requeued_on_connection_close": INDEX,
}

_PENDING_REPLIES = {
    "test_hub_pauses_pending_brpop_until_ack[nil]": PENDING,
    "test_hub_pauses_pending_brpop_until_ack[message]": DEFERRED,
    "test_drain_events_resumes_pending_brpop_without_resending": DEFERRED,
}

ON_WORKERS_CHANNEL: dict[str, str] = {
    f"test_redis.py::{test}[{variant}]": reason
    for test, reason in _IN_BOTH_VARIANTS.items()
    for variant in _VARIANTS
} | {f"test_redis_brpop_qos.py::{test}": reason for test, reason in _PENDING_REPLIES.items()}
