"""docker-compose.yml and the Dockerfile: their programs are started here without Docker.

Each service's command, environment, secrets and health check run as plain processes. Changed are
only the paths and ports that a container would have to itself.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from agewell.producer.up.child_process import start_child
from agewell.producer.up.embedded_redis import find_server
from tests.support.compose import filled_in
from tests.support.paths import ROOT
from tests.support.programs import absent, require
from tests.support.stack import until

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
RUN_ONCE = {"producer"}
OTHERS = {"prometheus", "grafana"}
"""Programs of others, in images of theirs."""
NEEDS_A_GPU = {"gpu"}
"""Started as `infer` is, which differs from it only in its image and in the device."""


def test_docker_compose_reads_the_file():
    program = require("docker-compose")
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
    if re.search(r"\b1\.\d+\.\d+", version.stdout):
        absent(f"{program} is of version 1, which reads no `start_interval`")
    names = ("gpu", "infer", "observe", "tools")
    profiles = [word for name in names for word in ("--profile", name)]
    done = subprocess.run(
        [program, *profiles, "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= {*SERVICES}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_watched(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    if name in RUN_ONCE:
        return
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    limits = service["deploy"]["resources"]["limits"]
    assert limits["memory"]


@pytest.mark.parametrize("name", sorted({*SERVICES} - RUN_ONCE))
def test_every_service_starts_on_a_host_with_one_core(name: str):
    """Docker refuses a container that may use more cores than its host has."""
    cpus = SERVICES[name]["deploy"]["resources"]["limits"]["cpus"]
    assert float(filled_in(cpus)) <= 1


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name, each with its lines."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def target_of(name: str) -> str:
    """The stage of the Dockerfile that a service of ours runs in."""
    image = SERVICES[name]["image"]
    [target] = {
        service["build"]["target"]
        for service in SERVICES.values()
        if service["image"] == image and "build" in service
    }
    return str(target)


def test_every_image_is_pinned_and_none_runs_as_root():
    for image in re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE):
        assert image in stages() or re.search(r":\d+\.\d+\.\d+", image), image
    for name, service in SERVICES.items():
        if service["image"].startswith("agewell-"):
            assert "USER agewell" in stages()[target_of(name)], name
        else:
            assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
            assert service["user"] not in ("root", "0"), name


def test_torch_comes_without_cuda_unless_it_is_for_a_gpu():
    arguments = SERVICES["infer"]["build"]["args"]
    assert filled_in(arguments["TORCH_INDEX_URL"]).endswith("/whl/cpu")
    assert "args" not in SERVICES["gpu"]["build"]
    assert re.search(
        r"^ARG TORCH_INDEX_URL=\S+/whl/cpu$", stages()["infer-libraries"], re.MULTILINE
    )
    assert "TORCH_INDEX_URL" not in stages()["gpu-libraries"]


def test_redis_is_one_that_replays_its_file_and_confines_its_scripts():
    """7.4.6 fixes CVE-2025-49844, and 7.4.3 fixes the replay as the default user."""
    [version] = re.findall(r"^redis:(\d+)\.(\d+)\.(\d+)-", SERVICES["redis"]["image"])
    assert tuple(map(int, version)) >= (7, 4, 6)


def test_every_mounted_path_exists():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                source = volume.split(":")[0]
                assert source in COMPOSE["volumes"] or (ROOT / source).exists()
            else:
                assert (ROOT / filled_in(volume["source"])).is_dir()
                # Docker would make a missing folder, without models and for root alone.
                assert volume["bind"] == {"create_host_path": False}
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]


def test_the_gpu_worker_differs_from_that_of_the_cpu_in_its_device_alone():
    of_the_device = {"build", "image", "profiles", "deploy"}
    [gpu, cpu] = [
        {key: value for key, value in SERVICES[name].items() if key not in of_the_device}
        for name in ("gpu", "infer")
    ]
    assert gpu == cpu
    [device] = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def image_environment() -> dict[str, str]:
    """Environment variables that the Dockerfile sets in every image."""
    lines = stages()["base"].replace("\\\n", " ").splitlines()
    pairs = [pair for line in lines if line.startswith("ENV ") for pair in shlex.split(line[4:])]
    return dict(pair.split("=", 1) for pair in pairs)


class Host:
    """One machine in place of the containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis_port, self.flower_port, self.metrics_port = (free_port() for _ in range(3))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("tmp", "state", "data", "run/secrets", "run/agewell", "models"):
            (folder / name).mkdir(parents=True)
        secrets = folder / "run" / "secrets"
        make = [sys.executable, str(ROOT / "deploy" / "make_secrets.py"), str(secrets)]
        subprocess.run(make, check=True, capture_output=True)
        url = secrets / "agewell_redis_url"
        url.write_text(url.read_text().replace("@redis:6379", f"@127.0.0.1:{self.redis_port}"))

    def _here(self, text: str) -> str:
        """A container's path or port, as it is on this machine."""
        text = re.sub(r"(?<![\w/])/(tmp|state|models|run/\w+)\b", rf"{self.folder}/\1", text)
        text = text.replace("redis-cli ", f"redis-cli -p {self.redis_port} ")
        text = text.replace("5555", str(self.flower_port))
        return text.replace("9540", str(self.metrics_port))

    def environment(self, name: str) -> dict[str, str]:
        ours = image_environment() | SERVICES[name].get("environment", {})
        there = {key: self._here(filled_in(value)) for key, value in ours.items() if key != "PATH"}
        tools = f"{Path(sys.executable).parent}:{find_server().parent}:{os.environ['PATH']}"
        return there | {"PATH": tools}

    def start(self, name: str) -> None:
        command = shlex.split(self._here(SERVICES[name]["command"]))
        if name == "redis":
            command[0] = str(find_server())
            command += ["--port", str(self.redis_port), "--bind", "127.0.0.1"]
            command += ["--dir", str(self.folder / "data")]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = start_child(command, log=log, env=self.environment(name))

    def healthy(self, name: str) -> bool:
        kind, *test = SERVICES[name]["healthcheck"]["test"]
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        done = subprocess.run(
            [self._here(part) for part in command],
            env=self.environment(name),
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0

    def wait_healthy(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        until(lambda: self.healthy(name), 120, lambda: f"{name} is healthy: {log.read_text()}")

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    running = Host(tmp_path_factory.mktemp("host"))
    try:
        assert not running.healthy("redis")
        running.start("redis")
        running.wait_healthy("redis")
        yield running
    finally:
        running.end()


STARTED = [name for name in SERVICES if name not in RUN_ONCE | NEEDS_A_GPU | OTHERS | {"redis"}]


def test_every_service_becomes_healthy_and_was_not_before(host: Host):
    for name in STARTED:
        assert not host.healthy(name), name
    for name in STARTED:
        host.start(name)
    for name in STARTED:
        host.wait_healthy(name)


def producer(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`docker compose run producer ...`."""
    return subprocess.run(
        ["agewell", *arguments],
        env=host.environment("producer"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_job_goes_through(host: Host, tmp_path: Path):
    photo = ROOT / "examples" / "images" / "bird.jpg"
    done = producer(host, "enqueue", "hsv", str(photo), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = cv2.imread(str(tmp_path / "bird.hsv.png"))
    assert (made == cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2HSV)).all()


def test_the_doctor_finds_nothing(host: Host):
    done = producer(host, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "append-only file" in done.stdout


def test_redis_refuses_strangers_and_needless_commands(host: Host):
    url = (host.folder / "run" / "secrets" / "agewell_redis_url").read_text().strip()

    def ask(*command: str, url: str = f"redis://127.0.0.1:{host.redis_port}") -> str:
        done = subprocess.run(
            ["redis-cli", "--no-auth-warning", "-u", url, *command],
            env=host.environment("redis"),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout + done.stderr

    assert "PONG" in ask("ping", url=url)
    assert "NOAUTH" in ask("get", "agewell:started")
    assert "NOPERM" in ask("flushall", url=url)
    assert "NOPERM" in ask("config", "get", "*", url=url)


def test_a_worker_that_hangs_is_no_longer_healthy(host: Host):
    worker = host.processes["cv"]
    worker.send_signal(signal.SIGSTOP)
    try:
        until(lambda: not host.healthy("cv"), 60, lambda: "the health check notices")
    finally:
        worker.send_signal(signal.SIGCONT)
    host.wait_healthy("cv")
