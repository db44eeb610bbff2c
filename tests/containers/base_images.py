"""Base images from Debian's packages, for an engine that reaches no registry of images.

They have the names, users, entry points and volumes of the official ones. Not made: Grafana, which
Debian has not.
"""

import contextlib
import functools
import http.server
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.containers.engine import SYSTEM_PATH, Engine
from tests.support.paths import ROOT

HERE = Path(__file__).parent / "base"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def make_base_images(engine: Engine, compose: dict[str, Any]) -> None:
    """Build the images that the Dockerfile and docker-compose.yml start from."""
    if not _has(engine, "local/debian"):
        _import_debian(engine)
    services = compose["services"]
    [python] = re.findall(r"^FROM (python:\S+) AS", (ROOT / "Dockerfile").read_text(), re.M)
    for name, image in {
        "python": python,
        "redis": services["redis"]["image"],
        "prometheus": services["prometheus"]["image"],
    }.items():
        context = _context(engine.folder / "base", name)
        dockerfile = str(context / f"{name}.Dockerfile")
        command = ("build", "--quiet", "--network=host", "--tag", image, "--file", dockerfile)
        engine.docker(*command, str(context), timeout_s=600)


def _has(engine: Engine, image: str) -> bool:
    return bool(engine.docker("images", "--quiet", image))


def _import_debian(engine: Engine) -> None:
    """Make a minimal bookworm, from where this machine's own apt finds Debian."""
    listed = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    sites = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    main = next(site for site in sites if "security" not in site)
    security = next((site for site in sites if "security" in site), main)
    folder = engine.folder / "base"
    folder.mkdir(exist_ok=True)
    sources = folder / "bookworm.sources"
    parts = [(main, "bookworm bookworm-updates"), (security, "bookworm-security")]
    sources.write_text(
        "\n".join(
            f"Types: deb\nURIs: {site}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
            for site, suites in parts
        )
    )
    archive = folder / "debian.tar"
    options = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("man", "doc", "locale")]
    command = ["mmdebstrap", "--variant=minbase", "--include=debian-archive-keyring", *options]
    subprocess.run(
        [*command, "bookworm", str(archive), str(sources)],
        env={"PATH": SYSTEM_PATH},
        capture_output=True,
        check=True,
        timeout=600,
    )
    engine.docker("import", str(archive), "local/debian")
    archive.unlink()


def _context(folder: Path, name: str) -> Path:
    """The files that a base image is built from."""
    context = folder / name
    shutil.copytree(HERE, context, dirs_exist_ok=True)
    if name == "python":
        (context / "pip.conf").write_text(
            pip_settings(f"http://127.0.0.1:{(folder / 'port').read_text()}")
        )
        shutil.copyfile(AUTHORITIES, context / "ca-certificates.crt")
    return context


class PackageServer:
    """Serves packages that pip of this machine takes from its disk, for pip in a container."""

    @staticmethod
    def port_file(folder: Path) -> Path:
        """The note of the port, the same in each run: with another, pip's layers were built again.

        The port is chosen once, and anew only if somebody else has taken it.
        """
        note = folder / "port"
        if not note.exists() or not _is_free(int(note.read_text())):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            folder.mkdir(parents=True, exist_ok=True)
            note.write_text(str(port))
        return note

    @staticmethod
    @contextlib.contextmanager
    def running(folder: Path) -> Iterator[None]:
        """Serve until the block ends."""
        address = "127.0.0.1", int(PackageServer.port_file(folder).read_text())
        handler = functools.partial(_Quiet, directory="/")
        with http.server.ThreadingHTTPServer(address, handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield
            finally:
                server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        """Serve what pip of this machine was told to use, and nothing else."""
        found = Path(super().translate_path(path)).resolve()
        return str(found) if any(map(found.is_relative_to, places())) else "/nowhere"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@functools.cache
def pip_options() -> dict[str, str]:
    """Options of pip on this machine, from its files and its environment."""
    command = ["python3", "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", done.stdout, re.MULTILINE)
    return dict(found)


def places() -> list[Path]:
    """Folders of this machine that pip takes packages from."""
    links, indexes = (_folders(pip_options().get(name, "")) for name in _FROM_DISK)
    return [*links, *(each.parent for each in indexes)]  # an index's pages link to what lies beside


_FROM_DISK = ("find-links", "extra-index-url")


def _folders(words: str) -> list[Path]:
    paths = [word.removeprefix("file://") for word in words.split()]
    return [Path(path).resolve() for path in paths if path.startswith("/")]


def pip_settings(site: str) -> str:
    """A pip.conf by which a container finds the packages that this machine finds."""
    lines = ["[global]", f"cert = {AUTHORITIES}", "timeout = 180", "trusted-host = 127.0.0.1"]
    for name in ("index-url", *_FROM_DISK):
        words = pip_options().get(name, "").split()
        moved = [re.sub(r"^(file://)?(?=/)", site, word) for word in words]
        if name == "find-links":  # pip takes it for a page, unless it ends like a folder
            moved = [f"{each.rstrip('/')}/" for each in moved]
        if moved:
            lines.append(f"{name} = {' '.join(moved)}")
    return "\n".join(lines) + "\n"
