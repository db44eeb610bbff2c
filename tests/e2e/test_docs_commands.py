"""Every command of README.md and docs/*.md runs as written, in order, on files that exist."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.ledger import Ledger
from tests.e2e.doc_pages import PAGES, ROOT, Command, commands
from tests.support.messages import good_job
from tests.support.stack import COMMAND, Stack, started, state_directory
from tests.support.terminal import on_terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NOT_RUN = {
    r"git clone ": "there is no address yet; `make demo` and `make test` run in CI",
    r"make |PIP_EXTRA_INDEX_URL=": "installs and runs all tests, this one among them",
    r"\. \.venv/bin/activate": "the tests run in an environment of their own",
    r"pip install ": "needs an index of packages",
    r"docker |python3 deploy/make_secrets": "tests/containers runs them",
    r"celery -A |telnet ": "run until they are stopped, and wait for somebody at a debugger",
}
"""Commands that are not run here, and why."""

ELSEWHERE = {
    "docs/operations.md": "tests/e2e/test_users_operations.py runs them",
    "docs/systemd.md": "tests/e2e/test_systemd.py runs them",
}
"""Pages whose commands need another stack, and the test that runs them."""

SMALL = {
    r"agewell models train digits ": " --epochs 1",
    r"agewell models train colorizer ": " --steps 1 --every 1 --threads 1",
    r"agewell models bench ": " --seconds 0.1 --threads 1 --versions 1",
    r"agewell simulate (?!--tenant )": " --jobs 3000",
}
"""What is added to commands that would take minutes: they do the same with less to do."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone has that the commands read and write: a copy."""
    made = tmp_path_factory.mktemp("clone")
    for name in ("examples", "models"):
        shutil.copytree(ROOT / name, made / name)
    (made / "docs" / "images").mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Stack]:
    models = folder / "models"
    with state_directory() as state, started(state, MODELS_DIR=models, CONCURRENCY=1) as stack:
        yield stack
        stack.stop()


class Reader:
    """Somebody who types a page's commands."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._ids: dict[str, str] = {}
        """The ids of jobs on the page, and what they are here."""
        self._stopped: psutil.Process | None = None

    def type(self, command: Command) -> None:
        text = command.text
        for shown, real in self._ids.items():
            text = text.replace(shown, real)
        self._prepare(command, text)
        if re.search(r"(^|\s)agewell up\b", text):
            self._up(text)
        elif text.startswith("agewell top"):
            self._leave_after_a_look(text)
        else:
            self._run(command, text)
        if text.startswith("agewell cancel"):
            self._go_on()

    def _prepare(self, command: Command, text: str) -> None:
        if command.ids:  # the jobs shall still wait when the page cancels one
            self._stopped = self._stack.worker
            self._stopped.send_signal(signal.SIGSTOP)
        found = re.match(r"agewell dead (?:show|retry|drop) ([0-9a-f]{8}\S+)", text)
        if found:
            options = {"task_id": found[1], "queue": "cv", "priority": 5, "headers": {}}
            job = {"task": "cv.hsv", "args": [good_job()], "kwargs": {}, "options": options}
            letters = DeadLetters(self._stack.redis)
            if letters.get(found[1]) is None:
                Ledger(self._stack.redis, 3600).forget(found[1])
                letters.keep_job(found[1], "cv", job, 5, "its worker ended 3 times", "")

    def _run(self, command: Command, text: str) -> None:
        for pattern, more in SMALL.items():
            if re.match(pattern, text):
                text = text.partition("  #")[0].rstrip() + more
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=self._folder,
            env=self._stack.env | {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = f"$ {text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in said, said
        assert done.returncode == (1 if command.fails else 0), said
        if command.fails:
            errors = [line for line in command.output if line.startswith("error:")]
            assert errors == [x for x in done.stderr.splitlines() if x.startswith("error:")]
        printed = re.findall(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", done.stdout, re.M)
        self._ids |= dict(zip(command.ids, printed, strict=False))

    def _up(self, text: str) -> None:
        """It runs already. A models' directory of its own is added to that of the one that runs."""
        if found := re.search(r"AGEWELL_MODELS_DIR=\$PWD/(\S+)", text):
            target = self._folder / "models"
            shutil.copytree(self._folder / found[1], target, dirs_exist_ok=True)
        done = subprocess.run(
            [str(COMMAND), "up", "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0

    def _leave_after_a_look(self, text: str) -> None:
        arguments = text.split()[1:]
        shown = on_terminal(*arguments, columns=80, env=self._stack.env, until="upkeep")
        assert any("agewell top" in line for line in shown)

    def _go_on(self) -> None:
        assert self._stopped is not None
        self._stopped.send_signal(signal.SIGCONT)
        self._stopped = None
        self._stack.wait_ended(list(self._ids.values()))

    def leave(self) -> None:
        """Leave the folder as it was found."""
        if self._stopped is not None:
            self._stopped.send_signal(signal.SIGCONT)
        for name in ("results", "my-models"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        shutil.copytree(ROOT / "models", self._folder / "models", dirs_exist_ok=True)
        for version in (self._folder / "models").glob("*/*"):
            if not (ROOT / "models" / version.relative_to(self._folder / "models")).exists():
                shutil.rmtree(version)


def _is_run(command: Command) -> bool:
    return not any(re.match(pattern, command.text) for pattern in NOT_RUN)


RUN = [page for page in PAGES if page not in ELSEWHERE and any(map(_is_run, commands(page)))]


@pytest.mark.parametrize("page", RUN)
def test_every_command_of_a_page_runs_as_written(page: str, running: Stack, folder: Path):
    reader = Reader(running, folder)
    try:
        for command in filter(_is_run, commands(page)):
            reader.type(command)
    finally:
        reader.leave()


def test_pages_that_another_test_runs_exist():
    assert set(ELSEWHERE) <= set(PAGES)


@pytest.mark.parametrize("pattern", [*NOT_RUN, *SMALL])
def test_no_exception_is_there_for_nothing(pattern: str):
    texts = [command.text for page in PAGES for command in commands(page)]
    assert any(re.match(pattern, text) for text in texts)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_file_that_a_page_names_exists(page: str):
    named = set(re.findall(r"\bexamples/[\w./-]*\w", (ROOT / page).read_text()))
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_a_page_is_read_as_its_reader_reads_it():
    [tags] = [
        each for each in commands("docs/commands.md") if each.text.startswith("agewell cancel")
    ]
    assert tags.output
    lines = [each.text for each in commands("docs/models.md")]
    assert any(text.startswith("cat > ") and text.endswith("\nEND") for text in lines)
    assert len(lines) > 4
