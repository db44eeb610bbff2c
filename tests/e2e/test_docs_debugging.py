"""docs/debugging.md: its programs and its worker stop where the page says, with a real pdb."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agewell.workers.models.export import version as export
from tests.support.model_files import SIDE, marking
from tests.support.paths import PHOTOS, ROOT
from tests.support.stack import started, state_directory, until

PAGE = (ROOT / "docs" / "debugging.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
INSIDE = "".join(block for block in BLOCKS if "rdb" not in block)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the models and photos of a clone."""
    for name in ("examples", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("plain", [False, True])
def test_a_person_at_pdb_stops_in_the_program_and_in_the_network(clone: Path, plain: bool):
    """As the page shows it, and with the argument that it explains."""
    program = INSIDE
    if plain:
        program = program.replace('device("cpu"))', 'device("cpu"), plain=True)')
        assert program.count("plain=True") == 1
    (clone / "look.py").write_text(program)
    typed = ["p sorted(item)", "p model.network.directory.name", "continue"]
    typed += ["p type(module).__name__", "p tuple(output.shape)", "continue", ""]
    done = subprocess.run(
        [sys.executable, "look.py"],
        input="\n".join(typed),
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line.removeprefix("(Pdb) ") for line in done.stdout.splitlines()]
    assert "['luminance', 'palette']" in answers
    assert "'1'" in answers
    assert "'SelfAttention'" in answers  # the part that the page hooks
    assert any(re.fullmatch(r"\(1, \d+, \d+, \d+\)|\(1, \d+, \d+\)", each) for each in answers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, question: str) -> str | None:
    """Connect as telnet does, ask pdb something, and let the program go on.

    Returns the answer, or None if nothing stops at the moment.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    except ConnectionRefusedError:
        return None
    with connection, connection.makefile("rwb") as file:
        shown = b""
        while not shown.endswith(b"(Pdb) "):
            shown += file.read(1)
        file.write(f"{question}\n".encode())
        file.flush()
        answer = file.readline().decode().strip()
        file.write(b"continue\n")
        file.flush()
    return answer


@contextmanager
def worker(env: dict[str, str], log: Path) -> Iterator[None]:
    """The infer worker in the foreground, by the page's command."""
    [command] = re.findall(r"^celery (-A agewell\.workers\.infer .*)$", PAGE, re.MULTILINE)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *command.split()],
            env=env,
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def stopping(tmp_path: Path) -> Path:
    """A models directory: a network with an ONNX graph beside it, whose code stops at rdb."""
    directory = marking(tmp_path / "models", "mark", "1", mark=77)
    assert not export.export(directory, directory).failed
    [stop] = [block for block in BLOCKS if "rdb" in block]
    lines = "".join(f"        {line}\n" for line in stop.splitlines() if line)
    code = directory / "model.py"
    code.write_text(
        code.read_text().replace("        return torch.z", f"{lines}        return torch.z")
    )
    return tmp_path / "models"


@pytest.mark.slow
def test_a_worker_stops_in_a_network_that_has_an_onnx_graph(stopping: Path, tmp_path: Path):
    """The stack's own infer worker is not started, as its models directory is empty."""
    port, log, none = free_port(), tmp_path / "worker.log", tmp_path / "none"
    with state_directory() as folder, started(folder, CONCURRENCY=1, MODELS_DIR=none) as stack:
        env = stack.env | {"AGEWELL_MODELS_DIR": str(stopping), "CELERY_RDB_PORT": str(port)}
        [job_id] = stack.enqueue("infer", "mark", PHOTOS / "bird.jpg")
        shapes = []
        with worker(env, log):

            def done() -> bool:
                if answer := ask(port, "p tuple(image.shape)"):
                    shapes.append(answer)
                return stack.states([job_id]) == ["done"]

            until(done, 120, lambda: (shapes, log.read_text()))
        stack.stop()
    # Loading runs one image, a full batch, and the two images of check.npz. Then comes the job.
    assert shapes == [f"({n}, 3, {SIDE}, {SIDE})" for n in (1, 16, 2, 1)]
