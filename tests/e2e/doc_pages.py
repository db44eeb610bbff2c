"""The commands of README.md and of docs/*.md, in the order in which they are written."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.python_process import run_python
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{each.name}" for each in ROOT.glob("docs/*.md"))]
JOB_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


@dataclass
class Command:
    """One command as typed, and the lines that the page shows below it."""

    text: str
    output: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """The ids of jobs in what it prints."""
        return [found[0] for line in self.output if (found := JOB_ID.fullmatch(line.strip()))]

    @property
    def fails(self) -> bool:
        return any(line.startswith("error:") for line in self.output)


def commands(page: str) -> list[Command]:
    """Every command of a page's `sh` and `console` blocks."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^```(sh|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [
        each
        for language, block in found
        for each in (_shown(block) if language == "console" else _typed(block))
    ]


def _shown(block: str) -> Iterator[Command]:
    command: Command | None = None
    for line in block.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line.removeprefix("$ "))
        elif command is not None:
            command.output.append(line)
    if command is not None:
        yield command


def _typed(block: str) -> Iterator[Command]:
    """Lines, each with its here-document or what its backslash continues."""
    lines = iter(block.splitlines())
    for line in lines:
        text, document = line, re.search(r"<<'(\w+)'", line)
        while document or text.endswith("\\"):
            more = next(lines)
            text += "\n" + more
            if document and more == document[1]:
                break
        if text.strip():
            yield Command(text)


def run_program(text: str, folder: Path, stack: Stack) -> subprocess.CompletedProcess[str]:
    """Run a Python program of a page in a folder that has the examples."""
    (folder / "examples").symlink_to(ROOT / "examples")
    env = os.environ | stack.env | {"REDIS_URL": stack.celery.conf.broker_url}
    return run_python(text, folder, env, timeout_s=120)
