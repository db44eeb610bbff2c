"""Metrics of a real stack: judged by promtool, scraped by a real Prometheus, drawn by Grafana."""

import json
import re
import socket
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.support.held_tenants import waiting_jobs
from tests.support.image_files import file_of
from tests.support.messages import hsv_job, inline, send, start_long_job
from tests.support.paths import ROOT
from tests.support.programs import require
from tests.support.stack import Stack, until
from tests.support.watched import get

DEPLOY = ROOT / "deploy"


def scrape(stack: Stack) -> str:
    answer = get(stack.running.metrics_url, None)
    assert answer.status == 200
    return answer.text


def value(text: str, series: str) -> float:
    """A series' value in Prometheus's text format, its labels as they are written there."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def promtool(*arguments: object, stdin: str = "") -> str:
    program = require("promtool")
    done = subprocess.run(
        [program, *map(str, arguments)], input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def worked(watched: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Run a known number of jobs. Returns the counts from before them."""
    before = scrape(watched)
    good, bad = inline(file_of("PNG")), inline(b"no image at all")
    ids = [send(watched, "cv.hsv", hsv_job(good, bad)) for _ in range(4)]
    ids += [send(watched, "cv.hsv", hsv_job(bad)) for _ in range(2)]
    ids += [send(watched, "cv.hsv", {"op": "nonsense"})]
    folder = tmp_path_factory.mktemp("worked")
    for number in range(3):
        (folder / f"{number}.png").write_bytes(file_of("PNG"))
    ids += watched.enqueue("hsv", folder, "--images-per-job", 1, "--priority", "low")
    watched.wait_ended(ids)
    series = (
        'agewell_job_wait_seconds_count{level="7",op="hsv"}',
        'agewell_job_run_seconds_count{level="7",op="hsv"}',
        'agewell_job_run_seconds_count{level="0",op="hsv"}',
        'agewell_jobs_ended_total{state="done"}',
        'agewell_jobs_ended_total{state="failed"}',
        'agewell_refused_total{cause="UnknownFormatError"}',
        'agewell_refused_total{cause="BadJobError"}',
        'agewell_decode_seconds_count{format="png"}',
        'agewell_encode_seconds_count{format="png"}',
    )

    now = scrape(watched)  # what a job has counted is there when its end is
    return {each: value(now, each) - value(before, each) for each in series}


def test_ends_runs_and_refusals_of_jobs_are_counted(worked: dict[str, float]):
    assert list(worked.values()) == [3, 3, 6, 7, 3, 6, 1, 7, 7]


def test_times_are_those_that_the_jobs_took(watched: Stack, worked: dict[str, float]):
    text = scrape(watched)
    assert 0 < value(text, 'agewell_job_run_seconds_sum{level="0",op="hsv"}') < 60
    assert value(text, 'agewell_decode_seconds_sum{format="png"}') > 0


def test_promtool_has_nothing_to_say_about_the_metrics(watched: Stack, worked: dict[str, float]):
    with waiting_jobs(watched, "lab/ana", 2):
        series = 'agewell_tenant_jobs_waiting{queue="cv",tenant="lab"}'
        until(lambda: value(scrape(watched), series) == 2, 30, lambda: scrape(watched))
        assert promtool("check", "metrics", stdin=scrape(watched)) == ""


def test_no_series_has_the_id_of_a_job(watched: Stack, worked: dict[str, float]):
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}", scrape(watched))


def test_the_configuration_and_the_alerts_are_good():
    promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    promtool("test", "rules", DEPLOY / "prometheus" / "alerts_test.yml")


class Prometheus:
    """A real one, with the project's own configuration, pointed at a stack's exporter."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **query: str) -> dict:
        answer = get(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}", None)
        assert answer.status == 200, answer.text
        return answer.json()["data"]

    def value(self, expression: str) -> float | None:
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="module")
def prometheus(watched: Stack) -> Iterator[Prometheus]:
    program = require("prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    target = urllib.parse.urlsplit(watched.running.metrics_url).netloc
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yml")]
    with tempfile.TemporaryDirectory(prefix="aw-") as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _ready(url), 60, (folder / "log").read_text)
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(30)


def _ready(url: str) -> bool:
    try:
        return get(url + "/-/ready", None).status == 200
    except OSError:
        return False


def test_a_real_prometheus_scrapes_the_stack(prometheus: Prometheus, worked: dict[str, float]):
    until(lambda: prometheus.value('up{job="agewell"}') == 1, 60, lambda: prometheus.ask("targets"))
    until(lambda: prometheus.value("agewell_up") == 1, 60, lambda: prometheus.ask("targets"))
    ended = prometheus.value('sum(agewell_jobs_ended_total{state="done"})')
    assert ended is not None
    assert ended >= 4


def test_prometheus_shows_the_waiting_jobs(
    prometheus: Prometheus, watched: Stack, long_job_here: str, small_folder: Path
):
    watched.enqueue("hsv", small_folder, "--images-per-job", 1, "--priority", "low")
    waiting = 'sum(agewell_jobs_waiting{queue="cv"})'
    until(lambda: prometheus.value(waiting) == 8, 60, lambda: prometheus.value(waiting))
    reserved = 'agewell_jobs_reserved{queue="cv"}'
    until(lambda: prometheus.value(reserved) == 1, 60, lambda: prometheus.value(reserved))
    oldest = 'max(agewell_oldest_wait_seconds{queue="cv"})'
    until(lambda: (prometheus.value(oldest) or 0) > 2, 60, lambda: prometheus.value(oldest))
    climbs = 'agewell_promotions_total{queue="cv"}'
    until(lambda: (prometheus.value(climbs) or 0) >= 8, 60, lambda: prometheus.value(climbs))


@pytest.fixture
def long_job_here(watched: Stack, large_photo: Path) -> Iterator[str]:
    job_id = start_long_job(watched, large_photo)
    yield job_id
    watched.run("cancel", job_id)
    watched.wait_ended([job_id])


def test_no_alert_of_a_stopped_sweep_while_sweeps_run(prometheus: Prometheus):
    until(lambda: prometheus.value("time() - agewell_last_sweep_timestamp_seconds") is not None, 60,
          lambda: prometheus.ask("targets"))  # fmt: skip
    alerts = prometheus.ask("rules")["groups"][0]["rules"]
    states = {rule["name"]: (rule["state"], rule["health"]) for rule in alerts}
    assert len(states) == 9
    assert states["AgewellSweepStopped"] == ("inactive", "ok")


def _panels() -> list[dict]:
    document = json.loads((DEPLOY / "grafana" / "dashboards" / "agewell.json").read_text())
    return list(document["panels"])


EXPRESSIONS = [target["expr"] for panel in _panels() for target in panel["targets"]]


def test_every_expression_of_the_dashboard_is_one_that_prometheus_takes(prometheus: Prometheus):
    for each in EXPRESSIONS:
        prometheus.ask("query", query=each)


def test_dashboard_and_alerts_name_metrics_that_there_are(watched: Stack, worked: dict[str, float]):
    text = scrape(watched)
    there = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    asked = EXPRESSIONS + [rule["expr"] for rule in alerts["groups"][0]["rules"]]
    named = {name for each in asked for name in re.findall(r"\bagewell_\w+", each)}
    without_parts = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert without_parts <= there


def test_the_exporter_ends_with_the_stack_and_holds_no_port_before(watched: Stack, stack: Stack):
    assert stack.running.metrics_url is None
    [exporter] = [
        each
        for each in watched.family
        if "agewell.workers.monitoring.exporter" in " ".join(each.cmdline())
    ]
    ports = {each.laddr.port for each in psutil.Process(exporter.pid).net_connections()}
    assert urllib.parse.urlsplit(watched.running.metrics_url).port in ports
