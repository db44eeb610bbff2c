"""The HTTP servers of `agewell up`: Flower, and the metrics for Prometheus."""

import ipaddress
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from agewell.producer.up.supervisor import Program
from agewell.shared.errors import SettingsError
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """Ports of the servers, and their URLs for a browser on this machine."""

    flower_port: int
    flower_url: str
    metrics_port: int | None
    metrics_url: str | None


def addresses(settings: Settings) -> Addresses:
    """Choose the ports.

    Raises:
        SettingsError: a port is in use, or Flower needs a password.
    """
    settings.flower_login()
    port = _free_port(settings.flower_host, settings.flower_port, "FLOWER_PORT")
    url = _url(settings.flower_host, port, settings.flower_url_prefix.strip("/"))
    if settings.metrics_port is None:
        return Addresses(port, url, None, None)
    other = _free_port(settings.metrics_host, settings.metrics_port, "METRICS_PORT")
    return Addresses(port, url, other, _url(settings.metrics_host, other, "metrics"))


def programs(found: Addresses, env: Mapping[str, str]) -> list[Program]:
    """List the processes to run. They get ports and passwords by their environment."""
    python = (sys.executable, "-m")
    flower_env = {**env, f"{PREFIX}FLOWER_PORT": str(found.flower_port)}
    ready = f"{found.flower_url}/healthcheck"
    flower = Program(
        "flower", [*python, "agewell.workers.monitoring.dashboard"], flower_env, ready_url=ready
    )
    if found.metrics_url is None:
        return [flower]
    metrics_env = {**env, f"{PREFIX}METRICS_PORT": str(found.metrics_port)}
    exporter = [*python, "agewell.workers.monitoring.exporter"]
    return [flower, Program("metrics", exporter, metrics_env, ready_url=found.metrics_url)]


def _url(host: str, port: int, path: str) -> str:
    try:
        address = ipaddress.ip_address(host)
        host = "localhost" if address.is_unspecified else f"[{host}]" if ":" in host else host
    except ValueError:
        host = host or "localhost"
    return f"http://{host}:{port}" + (f"/{path}" if path else "")


def _free_port(host: str, port: int, setting: str) -> int:
    """Return the port to listen on, or a free one for port 0.

    It is tried now. If the server found it in use later, it would be restarted without end.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"{host}:{port} cannot be used: {error.strerror}; choose another, or 0 for any"
            raise SettingsError(f"{PREFIX}{setting}", reason) from error
        chosen: int = probe.getsockname()[1]
        return chosen
