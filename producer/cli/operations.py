"""`agewell operations`: lists the operations, and the workers that offer them."""

from collections.abc import Iterable, Sequence
from typing import Any

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.options import Json
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.session import open_session
from agewell.shared.operation_offers import Offer, OperationOffers
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.operations import ImageInput, OperationSchema

COLUMNS = (
    Column("operation"),
    Column("images", drop=2),
    Column("workers", right=True),
    Column("from", drop=1),
    Column("what it does", flexible=True, drop=3),
)


def operations(as_json: Json = False) -> None:
    """List the operations, how many running workers offer each, and modules that failed.

    Example: agewell operations
    """
    with exit_codes():
        offers = OperationOffers(open_session().client).all()
        rows = list(_rows(offers))
        if as_json:
            for row in rows:
                terminal.print_json(row)
        else:
            print_table(terminal.out, COLUMNS, [_cells(each) for each in rows])
        failures = sorted({(f.source, f.reason, o.worker) for o in offers for f in o.failures})
        for source, reason, worker in failures:
            terminal.print_error(f"{worker} cannot use {source}: {reason}")
        raise typer.Exit(ExitCode.SOME_FAILED if failures else ExitCode.DONE)


def _rows(offers: Sequence[Offer]) -> Iterable[dict[str, Any]]:
    schemas = dict(built_in_schemas())
    sources: dict[str, str] = {}
    for offer in offers:
        schemas |= {each.name: each for each in offer.users}
        sources |= offer.sources
    for name, schema in schemas.items():
        workers = sorted(each.worker for each in offers if name in each.names)
        document = schema.model_dump(mode="json")
        yield {**document, "workers": workers, "source": sources.get(name, "agewell")}


def _cells(row: dict[str, Any]) -> list[str]:
    schema = OperationSchema.model_validate(
        {name: row[name] for name in OperationSchema.model_fields}
    )
    images = ", ".join(map(_shown, schema.inputs))
    return [schema.name, images, str(len(row["workers"])), row["source"], schema.summary]


def _shown(image: ImageInput) -> str:
    return image.name if image.required else f"[{image.name}]"
