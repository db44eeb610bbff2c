"""What Celery itself ends before it runs, revoked or expired, ends in the ledger too."""

from typing import Any

from celery import signals

from shared.ledger import State
from workers.context import context


def install() -> None:
    """Have this worker record what it does not run."""
    signals.task_revoked.connect(_record)


def _record(request: Any, terminated: bool, expired: bool, **_: Any) -> None:
    how = "expired" if expired else "terminated" if terminated else "revoked"
    context().ledger.end(request.id, State.CANCELLED, error=f"{how} by Celery")
