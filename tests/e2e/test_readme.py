"""What README.md and the pages of docs/ say is what the code does."""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import redis
import typer.main

from agewell.producer.cli.exit_codes import ExitCode
from agewell.producer.cli.main import app
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.shared import errors
from agewell.shared.protocol.levels import LEVEL_OF_NAME
from agewell.shared.protocol.messages import ErrorInfo, ImageRef, JobResult
from agewell.shared.protocol.tasks import queue_of, task_of
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings
from agewell.workers.jobs.job_classes import parse_job
from tests.support.python_process import run_python
from tests.support.stack import Stack, started, state_directory

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "images"
README = (ROOT / "README.md").read_text()
COMMANDS, CELERY, INSTALL, SETTINGS, TRANSPORT = (
    (ROOT / "docs" / f"{name}.md").read_text()
    for name in ("commands", "celery", "install", "settings", "transport")
)


def blocks(page: str, *languages: str) -> list[str]:
    """The code blocks of a page in some languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first heading this is, without its head."""
    _, _, rest = page.partition(f"\n| {heading} |")
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def commands(name: str) -> list[list[str]]:
    """The arguments of every line that runs a command, in the shell blocks of these three pages."""
    pages = "\n".join([README, INSTALL, COMMANDS])
    typed = "\n".join(blocks(pages, "sh")).splitlines()
    shown = "\n".join(blocks(pages, "console")).splitlines()
    typed += [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]
    parts = [shlex.split(part, comments=True) for line in typed for part in line.split(" && ")]
    without_variables = [[w for w in part if not re.match(r"[A-Z_]+=", w)] for part in parts]
    return [words[1:] for words in without_variables if words[:1] == [name]]


def test_a_newcomer_has_processed_an_image_by_line_30():
    first = "\n".join(README.splitlines()[:30])
    for text in ("git clone", "make demo", "make test", "agewell up", "](docs/images/"):
        assert text in first
    assert re.search(r"^agewell enqueue hsv .* --out ", first, re.MULTILINE)
    assert len(README.splitlines()) <= 150


def test_the_settings_table_names_every_setting_and_its_default():
    written = {variable.strip("`"): default for variable, default, _ in table(SETTINGS, "variable")}
    computed = {"state_dir": "`~/.local/state/agewell`", "concurrency": "the number of cores"}
    computed |= {"models_dir": "`models` beside the code"}
    assert written == {
        PREFIX + name.upper(): computed.get(name)
        or _written(field.get_default(call_default_factory=True, validated_data={}))
        for name, field in Settings.model_fields.items()
    }


def _written(default: object) -> str:
    return "unset" if default is None else "empty" if default == "" else f"`{default}`"


def test_the_state_directory_is_where_the_table_says(monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("AGEWELL_STATE_DIR", raising=False)
    assert Settings().state_dir == Path("~/.local/state/agewell").expanduser()


@pytest.mark.parametrize("arguments", commands("agewell"), ids=" ".join)
def test_every_command_is_one_that_the_command_line_takes(arguments):
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        assert arguments[0] in command.commands
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context("agewell", list(arguments))  # parses, and runs nothing


def test_the_pages_show_every_command():
    shown = {tuple(arguments[:2]) for arguments in commands("agewell")}
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for sub in getattr(command, "commands", [""]):
            wanted = (name, sub) if sub else (name,)
            assert any(found[: len(wanted)] == wanted for found in shown), wanted


def test_every_target_of_make_is_one_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {target for arguments in commands("make") for target in arguments}
    assert {"demo", "test", "install"} <= shown <= targets


def test_the_exit_codes_are_those_of_the_command_line():
    assert [int(code) for code, _ in table(COMMANDS, "code")] == sorted(ExitCode)


def test_the_levels_and_the_tasks_are_those_of_the_code():
    for name, level in LEVEL_OF_NAME.items():
        assert [f"`{name}`", str(level)] in table(COMMANDS, "name")
    tasks = [row[1:] for row in table(CELERY, "operation")]
    expected = ("resize", "pipeline", "infer")
    assert tasks == [[f"`{task_of(op)}`", f"`{queue_of(op).value}`"] for op in expected]


def test_every_example_message_is_one_that_travels():
    documents = [json.loads(block) for block in blocks(CELERY + "\n" + TRANSPORT, "json")]
    jobs, results, references = [], [], []
    for document in documents:
        if "uri" in document:
            references.append(ImageRef.model_validate(document))
        elif {"image", "error"} & document["items"][0].keys() and "info" in document["items"][0]:
            results.append(JobResult.model_validate(document))
        else:
            jobs.append(parse_job(document))
    assert {job.op for job in jobs} >= {"hsv", "alpha_blend", "poisson_blend", "infer"}
    assert len(references) == 1
    assert {type(item.error) for result in results for item in result.items} >= {ErrorInfo}


def test_the_references_in_the_examples_are_those_of_the_example_images():
    named = re.findall(
        r'"sha256": "(\w+)",\s+"size_bytes": (\d+),.*?"name": "([^"]+)"', TRANSPORT, re.DOTALL
    )
    files = {path.name: path.read_bytes() for path in PHOTOS.iterdir()}
    checked = 0
    for sha256, size, name in named:
        if (data := files.get(Path(name).name)) is not None:
            assert (sha256, int(size)) == (hashlib.sha256(data).hexdigest(), len(data))
            checked += 1
    assert checked >= 6


def test_the_page_on_transport_says_of_every_error_whose_it_is():
    def leaves(base: type) -> set[str]:
        below = set().union(*(leaves(sub) for sub in base.__subclasses__()))
        return below or {base.__name__}

    # These never meet a job; the others are groups of leaves.
    elsewhere = {"SettingsError", "IncompatibleError", "ThumbnailError"}
    expected = [leaves(each) for each in (errors.CallerError, errors.PassingError)]
    written = [set(re.findall(r"`(\w+Error)`", row[1])) for row in table(TRANSPORT, "whose")]
    raised_itself = {"BlobStoreError"}  # besides the one below it
    assert written[:2] == [expected[0] - elsewhere, expected[1] | raised_itself]
    assert written[2] == leaves(errors.InternalError) - elsewhere


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on a Redis that others reach by TCP, as the programs of the pages expect it."""
    too_long_for_a_socket = tmp_path_factory.mktemp("redis") / ("x" * 100)
    with (
        embedded_redis(too_long_for_a_socket) as server,
        state_directory() as folder,
        started(folder, REDIS_URL=server.url) as stack,
    ):
        yield stack
        stack.stop()


def run_program(text: str, stack: Stack, folder: Path) -> str:
    """Run a program of a page where the example images lie; what it prints."""
    (folder / "examples").symlink_to(ROOT / "examples")
    env = os.environ | stack.env | {"REDIS_URL": stack.env["AGEWELL_REDIS_URL"]}
    done = run_python(text, folder, env, timeout_s=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_in_the_readme_prints_the_name_of_its_result(shared_stack, tmp_path):
    [program] = blocks(README, "python")
    assert run_program(program, shared_stack, tmp_path) == "bird.hsv.png\n"


def test_the_program_with_an_image_inline_prints_the_result_that_its_page_shows(
    shared_stack, tmp_path
):
    inline, *_ = blocks(CELERY, "python")
    [shown] = blocks(CELERY, "json")
    answer = json.loads(run_program(inline, shared_stack, tmp_path))
    [item] = JobResult.model_validate(answer).items
    # What a PNG's bytes are depends on the processor that zlib finds; its pixels do not.
    [there] = JobResult.model_validate_json(shown).items
    bytes_of = item.image.model_dump(include={"uri", "sha256", "size_bytes"})
    there = there.model_copy(update={"image": there.image.model_copy(update=bytes_of)})
    assert item == there
    client = redis.Redis.from_url(shared_stack.env["AGEWELL_REDIS_URL"])
    data = client.get(f"agewell:blob:{item.image.sha256}")
    made = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = cv2.cvtColor(cv2.imread(str(PHOTOS / "bird.jpg")), cv2.COLOR_BGR2HSV)
    assert np.array_equal(made, expected)


def test_the_program_with_images_in_redis_writes_its_result(shared_stack, tmp_path):
    _, stored, *_ = blocks(CELERY, "python")
    said = run_program(stored, shared_stack, tmp_path)
    [name] = [path.name for path in tmp_path.iterdir() if path.name != "examples"]
    assert said.startswith(name)
    assert "'converged': True" in said
    blend = cv2.imread(str(tmp_path / name)).astype(int)
    sunset = cv2.imread(str(PHOTOS / "sunset-by-the-pier.jpg")).astype(int)
    assert blend.shape == sunset.shape
    differs = np.abs(blend - sunset).max(axis=2) > 60  # the dark bird, not the JPEG's own noise
    rows, columns = np.nonzero(differs)
    assert set(rows) <= set(range(110, 110 + 160))
    assert set(columns) <= set(range(840, 840 + 250))
