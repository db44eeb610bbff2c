"""The level and the queue of a delivery, as kombu's delivery_info has them."""

from celery import Task

from agewell.shared.protocol.envelope import level_of


def task_level(task: Task) -> int:
    """Return the level that a job was given."""
    return level_of((task.request.delivery_info or {}).get("priority"))


def task_queue(task: Task) -> str:
    """Return the name of the queue that a delivery came from, or an empty text if it has none."""
    return (task.request.delivery_info or {}).get("routing_key") or ""
