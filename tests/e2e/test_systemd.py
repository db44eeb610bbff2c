"""The services of deploy/systemd on a booted machine, by the commands of docs/systemd.md."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import pytest

from tests.e2e.doc_pages import commands
from tests.support.booted import VENV, Machine, booted
from tests.support.paths import PHOTOS, ROOT
from tests.support.stack import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVICES = ("redis", "upkeep", "beat", "flower", "cv")
START_S = 60.0
AS_AGEWELL = (
    *("systemd-run", "--pipe", "--wait", "--quiet", "--property=User=agewell"),
    "--property=EnvironmentFile=/etc/agewell/agewell.env",
)
NOT_RUN = r"sudo apt-get "
"""There is no network in the machine."""


HANG_S = 3
PHOTO = PHOTOS / "bird.jpg"
LARGE = 32

READ_METRICS = """\
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9540/metrics").read().decode())
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as running:
        for command in _section("Install"):
            running.run("sh", "-ec", command)
        wait_active(running)
        yield running


def _section(title: str) -> list[str]:
    """The commands of a section of the page, for root, with the Python environment there."""
    text = (ROOT / "docs" / "systemd.md").read_text()
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    typed = [each.text for each in commands("docs/systemd.md") if f"\n{each.text}\n" in section[1]]
    assert typed
    here = [each.replace("sudo ", "") for each in typed if not re.match(NOT_RUN, each)]
    return [
        f"cd {ROOT}; {each}{f' --venv {VENV}' if 'install.py' in each else ''}" for each in here
    ]


def wait_active(machine: Machine, *services: str) -> None:
    names = [f"agewell-{each}" for each in services or SERVICES]
    until(
        lambda: all(machine.show(each, "ActiveState") == "active" for each in names),
        START_S,
        lambda: [machine.log(each)[-2000:] for each in names],
    )


def agewell(machine: Machine, *words: object) -> str:
    return machine.run(*AS_AGEWELL, VENV / "bin" / "agewell", *words)


def enqueue(machine: Machine, *photos: Path, operation: Sequence[str] = ("hsv",)) -> str:
    """Send one job over some photos, without waiting. Returns its id."""
    words = ("enqueue", *operation, *photos, "--images-per-job", len(photos), "--json")
    return str(json.loads(agewell(machine, *words).splitlines()[0])["id"])


@pytest.fixture(scope="module")
def large(machine: Machine) -> list[Path]:
    """Photos in the machine that take a worker several seconds together. No two are alike."""
    photo = cv2.resize(cv2.imread(str(PHOTO)), (4000, 3000))
    paths = [Path(f"/srv/{number}.jpg") for number in range(LARGE)]
    for number, path in enumerate(paths):
        photo[:40, :40] = number
        cv2.imwrite(f"{machine.root}{path}", photo)
    return paths


def state(machine: Machine, job_id: str) -> str:
    """A job's state, by Redis itself: the command takes longer to start."""
    settings = (machine.root / "etc/agewell/agewell.env").read_text()
    url = re.search(r"^AGEWELL_REDIS_URL=(.*)$", settings, re.MULTILINE)
    assert url is not None
    asked = ("redis-cli", "--no-auth-warning", "-u", url[1], "HGET", f"agewell:job:{job_id}")
    return machine.run(*asked, "state").strip()


def wait_state(machine: Machine, job_id: str, wanted: str, timeout_s: float = 60) -> None:
    until(
        lambda: state(machine, job_id) == wanted,
        timeout_s,
        lambda: (state(machine, job_id), machine.log("agewell-cv")[-2000:]),
    )


def main_pid(machine: Machine) -> int:
    return int(machine.show("agewell-cv", "MainPID"))


@pytest.fixture
def impatient(machine: Machine) -> Iterator[None]:
    """A cv worker whose stop takes a second, and whose hang is noticed after three."""
    unit = "/run/systemd/system/agewell-cv.service.d/test.conf"
    hang = f"[Service]\\nWatchdogSec={HANG_S}\\nTimeoutAbortSec=1\\nExecStop=\\n"
    stop = "ExecStop=-/bin/sh -c 'kill -TERM \"$MAINPID\" && sleep 1'\\n"
    machine.run("mkdir", "-p", Path(unit).parent)
    machine.run("sh", "-c", f"printf '%b' \"$0\" > {unit}", hang + stop)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "agewell-cv")
    yield
    machine.run("rm", unit)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "agewell-cv")


def test_the_commands_of_the_page_run(machine: Machine):
    for command in _section("Use"):
        machine.run("sh", "-ec", command)
    wait_active(machine)
    wait_state(machine, enqueue(machine, PHOTO), "done")


def test_a_second_installation_changes_nothing(machine: Machine):
    said = machine.run("python3", ROOT / "deploy/systemd/install.py", "--venv", VENV)
    assert "kept: /etc/agewell/agewell.env" in said
    assert "write: " not in said
    assert machine.run("stat", "--format=%a %U", "/etc/agewell/agewell.env") == "600 root\n"


def test_nothing_of_the_services_is_writable_but_their_state(machine: Machine):
    at = f"/proc/{main_pid(machine)}"
    status = machine.run("cat", f"{at}/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    rights = [line.split()[4:6] for line in machine.run("cat", f"{at}/mountinfo").splitlines()]
    assert dict(rights)["/"].startswith("ro")
    assert dict(rights)["/var/lib/agewell"].startswith("rw")


def test_a_stop_lets_a_running_job_end(machine: Machine, large: list[Path]):
    job_id = enqueue(machine, *large)
    wait_state(machine, job_id, "running")
    machine.run("systemctl", "stop", "agewell-cv")
    assert machine.show("agewell-cv", "Result") == "success"
    assert state(machine, job_id) == "done"
    assert len(re.findall(rf"{job_id}\] received", machine.log("agewell-cv"))) == 1
    machine.run("systemctl", "start", "agewell-cv")


def test_a_job_that_outlasts_a_stop_returns_to_its_queue(
    machine: Machine, impatient: None, large: list[Path]
):
    job_id = enqueue(machine, *large)
    wait_state(machine, job_id, "running")
    machine.run("systemctl", "stop", "agewell-cv")
    assert state(machine, job_id) == "waiting"
    machine.run("systemctl", "start", "agewell-cv")
    wait_state(machine, job_id, "done")


def test_a_killed_worker_starts_again_and_its_job_ends(machine: Machine, large: list[Path]):
    job_id = enqueue(machine, *large)
    wait_state(machine, job_id, "running")
    killed = main_pid(machine)
    machine.run("kill", "-KILL", killed)
    until(lambda: main_pid(machine) not in (0, killed), 30, lambda: machine.log("agewell-cv"))
    wait_state(machine, job_id, "done")


def test_a_worker_that_hangs_starts_again(machine: Machine, impatient: None):
    wait_active(machine)
    hangs = main_pid(machine)
    machine.run("kill", "-STOP", hangs)
    until(lambda: main_pid(machine) not in (0, hangs), 30, lambda: machine.log("agewell-cv"))
    assert "Watchdog timeout" in machine.log("agewell-cv")


def test_a_worker_that_waits_for_redis_does_not_hang(machine: Machine, impatient: None):
    wait_active(machine)
    time.sleep(HANG_S)
    before = main_pid(machine), machine.show("agewell-cv", "NRestarts")
    machine.run("systemctl", "stop", "agewell-redis")
    time.sleep(3 * HANG_S)  # the outage is what is tested
    machine.run("systemctl", "start", "agewell-redis")
    wait_state(machine, enqueue(machine, PHOTO), "done")
    assert (main_pid(machine), machine.show("agewell-cv", "NRestarts")) == before


def test_models_and_metrics_run_too(machine: Machine):
    added = ("--services", "infer,metrics", "--venv", VENV)
    machine.run("python3", ROOT / "deploy/systemd/install.py", *added)
    machine.run("systemctl", "start", "agewell.target")
    wait_active(machine, *SERVICES, "infer", "metrics")
    wait_state(machine, enqueue(machine, PHOTO, operation=("infer", "digits")), "done")
    assert "agewell_up 1.0" in machine.run(VENV / "bin" / "python", "-c", READ_METRICS)


def test_an_uninstallation_keeps_settings_and_jobs(machine: Machine):
    [command] = _section("Remove")
    machine.run("sh", "-ec", command)
    assert machine.run("sh", "-c", "ls /etc/systemd/system | grep agewell", check=False) == ""
    assert machine.run("pgrep", "-u", "agewell", check=False) == ""
    machine.run("test", "-s", "/etc/agewell/agewell.env")
    machine.run("sh", "-c", "ls /var/lib/agewell-redis/appendonlydir/*.aof")
