"""Write docs/cli.md and docs/settings.md from the code: `python -m docs.generate`.

The pages hold the help text of every command and the description of every setting, so you change
them in the code and run this again. A unit test fails if a page differs from the code.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main

from agewell.producer.cli.front_page import PANELS
from agewell.producer.cli.main import app
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings
from docs import generate_jobs

Rows = Sequence[tuple[str, str]]

DOCS = Path(__file__).parent
COMPUTED_DEFAULTS = {
    "concurrency": "the number of cores",
    "models_dir": "`models` beside the code",
    "state_dir": "`~/.local/state/agewell`",
}
"""Defaults that depend on the machine, in words."""

TYPE_NAMES = {
    "int range": " NUMBER",
    "float range": " NUMBER",
    "int": " NUMBER",
    "float": " NUMBER",
    "path": " PATH",
    "dir": " FOLDER",
    "list[str]": "...",
}
"""Types of values, as the reference shows them behind an option or an argument."""

CLI_HEAD = """\
# Command reference

This page lists every command and option of `agewell`. It is made from the code, and says the same
as `agewell COMMAND --help`. To see the commands at work, read [Commands](commands.md).

Options that take a time read `90`, `90s`, `5m`, `1h30m` and `2d`. Every command takes `--help`.
"""

SETTINGS_HEAD = """\
# Settings

Every setting is an environment variable. agewell reads them once, when it starts. If you give a bad
value, or a name that is no setting, it does not start, and names the variable.

- **Times**, the settings that end in `_S`, are in seconds. You can give them a unit: `90`, `90s`,
  `5m`, `1h30m`, `2d`.
- **Secrets in files.** Set `AGEWELL_SECRETS_DIR=/run/secrets`, and the file
  `/run/secrets/agewell_redis_url` gives the value of `AGEWELL_REDIS_URL` if you do not set that
  variable. The same holds for every other setting. A misspelt file name is refused too.
- **Passwords in a Redis URL**: [Security](security.md#the-redis-url) says how to write them.
- **The state directory** lies below `$XDG_STATE_HOME` if you set that variable.

"""


def pages() -> dict[Path, str]:
    """The generated pages: the text of each, by the path of its file."""
    return {
        DOCS / "cli.md": cli_page(),
        DOCS / "operation-reference.md": generate_jobs.reference_page(),
        DOCS / "settings.md": settings_page(),
    }


def modules() -> dict[Path, str]:
    """The generated files of the package: the text of each, by the path of its file."""
    protocol = DOCS.parent / "shared" / "protocol"
    return {
        protocol / "built_in.json": generate_jobs.schemas_file(),
        protocol / "built_in_jobs.py": _formatted(generate_jobs.jobs_module()),
    }


def _formatted(python: str) -> str:
    """Format Python code as the project's linter does."""
    ruff = Path(sys.executable).parent / "ruff"
    for command in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        given = [str(ruff), *command, "--stdin-filename", "shared/protocol/x.py", "-"]
        python = subprocess.run(
            given, input=python, text=True, capture_output=True, check=True, cwd=DOCS.parent
        ).stdout
    return python


def settings_page() -> str:
    """A table of all settings, in the order of the code."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = COMPUTED_DEFAULTS.get(name) or _default(
            field.get_default(call_default_factory=True, validated_data={})
        )
        meaning = _cell(field.description or "")
        if get_origin(field.annotation) is Literal:
            meaning += (
                " One of " + ", ".join(f"`{value}`" for value in get_args(field.annotation)) + "."
            )
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {meaning} |")
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def cli_page() -> str:
    """Every command under its heading, in the order of `agewell --help`."""
    group: Any = typer.main.get_command(app)
    parts = [CLI_HEAD]
    for panel, names in PANELS.items():
        parts.append(f"## {panel}\n")
        for name in names:
            parts += _command(group.commands[name], f"agewell {name}")
    return "\n".join(parts)


def _command(command: Any, path: str, hidden: Rows = ()) -> list[str]:
    """The section of a command, and of its subcommands.

    Args:
        command: a command or a group, as Typer makes it.
        path: as you type it.
        hidden: rows that are listed with the group already.
    """
    context = command.make_context(path, [], resilient_parsing=True)
    usage = re.sub("[{}]", "", " ".join([path, *command.collect_usage_pieces(context)]))
    parts = [f"### {path}\n", f"```text\n{usage}\n```\n", *_help(command.help)]
    if rows := [row for row in _rows(command) if row not in hidden]:
        parts.append(_table(rows))
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    if shared := _shared([_rows(each) for each in subcommands.values()]):
        parts += ["Every command below takes these options too:\n", _table(shared)]
    for name, subcommand in subcommands.items():
        parts += _command(subcommand, f"{path} {name}", shared)
    return parts


def _shared(commands: Sequence[Rows]) -> Rows:
    """The rows that all of these commands have, in their order."""
    return [row for row in commands[0] if all(row in rows for rows in commands)] if commands else []


def _rows(command: Any) -> Rows:
    """The arguments and options of a command: how you type each, and its help."""
    context = command.make_context("", [], resilient_parsing=True)
    return [row for each in command.params if (row := each.get_help_record(context))]


def _help(text: str | None) -> Iterator[str]:
    """A command's help, with its example as code."""
    for paragraph in (text or "").split("\n\n"):
        _, is_example, example = paragraph.partition("Example: ")
        if is_example:
            yield f"```text\n$ {example.strip()}\n```\n"
        else:
            yield _escaped(" ".join(paragraph.split())) + "\n"


def _table(rows: Rows) -> str:
    lines = [f"| `{_cell_code(left)}` | {_meaning(right)} |" for left, right in rows]
    return "\n".join(["| argument or option | meaning |", "| --- | --- |", *lines]) + "\n"


def _meaning(text: str) -> str:
    """The help of an option; the facts that Typer puts in brackets behind it become sentences."""
    found = re.search(r"\s*\[([^\[\]]*)\]$", text)
    if found is None:
        return _cell(text)
    facts = [_fact(part) for part in found[1].split("; ")]
    return " ".join([_cell(text[: found.start()]), *facts])


def _fact(text: str) -> str:
    if text == "required":
        return "Required."
    if text.startswith("default: "):
        return f"Default: `{text.removeprefix('default: ')}`."
    if between := re.fullmatch(r"(\S+)<=x<=(\S+)", text):
        return f"From {between[1]} to {between[2]}."
    if least := re.fullmatch(r"x>=(\S+)", text):
        return f"At least {least[1]}."
    return _cell(f"[{text}]")


def _default(value: object) -> str:
    return "unset" if value is None else "empty" if value == "" else f"`{value}`"


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _cell_code(text: str) -> str:
    for name, shown in TYPE_NAMES.items():
        text = text.replace(f" <{name}>", shown)
    text = text.replace(" <str>", " TEXT" if text.startswith("-") else "")
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is. Code in backticks, and names of settings, are code."""
    parts = re.split(r"(`[^`]*`)", re.sub(rf"(?<!`)\b({PREFIX}[A-Z_]+)\b", r"`\1`", text))
    return "".join(
        part if part.startswith("`") else re.sub(r"([*<\[]|\b_|_\b)", r"\\\1", part)
        for part in parts
    )


def main() -> None:
    """Write the files of the package, and then the pages, which depend on them."""
    made = {"modules": modules, "pages": pages}
    for each in sys.argv[1:]:
        _write(made[each]())
    if not sys.argv[1:]:  # the command line reads the modules when it is imported
        for each in made:
            subprocess.run([sys.executable, "-m", "docs.generate", each], check=True)


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
