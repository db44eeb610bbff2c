"""Warns of the versions of a model that the infer workers cannot load."""

from agewell.producer.cli import terminal
from agewell.producer.sending.model_commands import Models
from agewell.producer.session import Session


def warn_of_problems(session: Session, name: str, version: str | None = None) -> None:
    """Print a warning for each version of a name that cannot be loaded, with the reason.

    Args:
        session: names the Redis of the workers.
        name: of the model.
        version: the only version to warn of. Default: all versions.
    """
    for broken, problem in sorted(Models(session).problems(name, version).items()):
        terminal.print_warning(f"{name}/{broken} cannot be loaded: {problem}")
