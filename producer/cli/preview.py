"""`--dry-run`: shows which files go together, and the paths of the results."""

from pathlib import Path

from agewell.producer.cli import terminal
from agewell.producer.sending.files import check_image
from agewell.producer.sending.plan import Plan, Planned, check_plan
from agewell.shared.errors import BadFileError


def preview(plan: Plan, max_file_bytes: int, *, overwrite: bool, as_json: bool) -> bool:
    """Print every item and its results. Returns False if an item or a pattern cannot be sent.

    Raises:
        BadFileError: the files of several patterns do not pair up.
        ParameterError: results exist already, and must not be overwritten.
    """
    bad: dict[str, BadFileError] = {}

    def add_bad(error: BadFileError) -> None:
        bad.setdefault(str(error), error)

    for item in plan.items(add_bad):
        try:
            for file in item.files.values():
                check_image(file, max_file_bytes)
        except BadFileError as error:
            add_bad(error)
        else:
            _print_item(plan, item, as_json=as_json)
    for message in bad:
        terminal.print_error(message)
    check_plan(plan, overwrite=overwrite)
    return not bad


def _print_item(plan: Plan, item: Planned, *, as_json: bool) -> None:
    # Without --out nothing is written, so only the names are shown.
    outputs = [str(path) for path in plan.paths(item)] or list(item.outputs)
    if as_json:
        terminal.print_json(paths_of(item) | {"outputs": outputs})
    else:
        terminal.print_line(f"{' + '.join(paths_of(item).values())} -> {', '.join(outputs)}")


def paths_of(item: Planned) -> dict[str, str]:
    """Return the paths of the files of an item, by field."""
    return {field: str(Path(file.path)) for field, file in item.files.items()}
