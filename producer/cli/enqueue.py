"""`agewell enqueue`: sends files to the image operations, with one command for each."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from agewell.producer.cli.operation_options import (
    argument_name,
    arguments_of,
    option_name,
    parameters_from,
    required_options,
    sentence,
    takes_many_files,
)
from agewell.producer.cli.send import send_and_report
from agewell.producer.cli.send_options import Options, with_send_options
from agewell.producer.receiving.result_names import own_results
from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.listing import OnBad, expand, only_file
from agewell.producer.sending.offered import OfferedSchemas
from agewell.producer.sending.pairing import broadcast
from agewell.producer.sending.plan import Sources
from agewell.producer.sending.submit import Fields
from agewell.producer.session import open_session
from agewell.shared.errors import AgewellError, ParameterError
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.messages import GenericItem, GenericJob, Job
from agewell.shared.protocol.operations import OperationSchema


class EnqueueGroup(TyperGroup):
    """The commands of agewell's own operations, and of those that running workers offer."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command. One that is not agewell's own is looked up in Redis."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name.startswith("-"):
            return found
        try:
            schema = OfferedSchemas(lambda: open_session().client).find(cmd_name)
        except AgewellError as error:
            ctx.meta[_WHY] = _why_unknown(error)
            return None
        return _typer_command(schema)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of some arguments. An error also says why it is not a worker's."""
        try:
            return super().resolve_command(ctx, args)
        except _UsageError as error:
            error.message = " ".join(filter(None, [error.message, ctx.meta.get(_WHY)]))
            raise


_WHY = "agewell.why_unknown"
_UsageError: Any = typer.BadParameter.__bases__[0]  # Typer has its own copy of click


def _why_unknown(error: AgewellError) -> str:
    if isinstance(error, ParameterError):
        return "No running worker offers such an operation; `agewell operations` lists them."
    return f"The operations of workers are not known: {error}"


enqueue_app = typer.Typer(
    name="enqueue",
    cls=EnqueueGroup,
    help="Send images to a queue, to be processed by workers.",
    epilog="Workers may offer more operations: agewell operations.",
    no_args_is_help=True,
)


def operation_command(schema: OperationSchema) -> Any:
    """Make the function of an operation's command."""

    def run(*, options: Options, **given: Any) -> None:
        _send(schema, given, options)

    arguments = list(arguments_of(schema))
    options = inspect.Parameter("options", inspect.Parameter.KEYWORD_ONLY, annotation=Options)
    run.__name__ = schema.command.replace("-", "_")
    run.__doc__ = _help(schema)
    run.__signature__ = inspect.Signature([*arguments, options])  # type: ignore[attr-defined]
    return with_send_options(run)


def _typer_command(schema: OperationSchema) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(schema.command)(operation_command(schema))
    return typer.main.get_command(app)


def _help(schema: OperationSchema) -> str:
    images = (
        ["photos/"]
        if takes_many_files(schema)
        else [f"{each.name}.png" for each in schema.item_inputs if each.required]
    )
    shared = [
        f"{option_name(schema, each.name)} {each.name}.png"
        for each in schema.shared_inputs
        if each.required
    ]
    arguments = schema.example or " ".join([*images, *shared, *required_options(schema)])
    example = f"agewell enqueue {schema.command} {arguments} --out results/"
    return f"{sentence(schema.summary)}\n\nExample: {example}"


def _send(schema: OperationSchema, given: dict[str, Any], options: Options) -> None:
    parameters = parameters_from(schema, given)
    own = own_results(options.out, schema.name)
    images = {each.name: given.get(argument_name(each.name)) for each in schema.inputs}
    shared = {
        each.name: only_file(str(images[each.name]), option_name(schema, each.name))
        for each in schema.shared_inputs
        if images[each.name] is not None
    }

    def sources(on_bad: OnBad) -> Iterator[Sources]:
        if takes_many_files(schema):
            main = schema.item_inputs[0].name
            found = _of_paths(main, expand(given["paths"], on_bad, own))
        else:
            found = broadcast({each.name: images[each.name] for each in schema.item_inputs}, own)
        return (each | shared for each in found)

    def make_job(items: list[Fields]) -> Job:
        return _job(items, set(shared), op=schema.name, output=options.output, **parameters)

    send_and_report(schema.name, sources, make_job, options)


def _job(items: list[Fields], shared: set[str], **given: Any) -> Job:
    """Make a job of items. The images that they share are fields of the job."""
    for_all = {name: items[0][name] for name in shared}
    of_each = [{name: each[name] for name in each if name not in shared} for each in items]
    made = tuple(GenericItem(**each) for each in of_each)
    return GenericJob(items=made, **for_all, **given)


def _of_paths(role: str, files: Iterator[LocalFile]) -> Iterator[Sources]:
    return ({role: each} for each in files)


for _schema in built_in_schemas().values():
    enqueue_app.command(_schema.command)(operation_command(_schema))
