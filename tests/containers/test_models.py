"""Models in the infer image, and the stack's metrics in Prometheus."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.containers.stack import Stack
from tests.support.stack import until


@pytest.fixture(scope="module")
def infer(stack: Stack, measured) -> Stack:
    took_s = stack.up("infer", services=("infer",))
    memory_mb = stack.engine.memory_mb(stack.name("infer"))
    measured("infer, until it is healthy", f"{took_s:.1f} s, {memory_mb:.0f} MB")
    return stack


def test_a_model_colours_a_photo(infer: Stack, out: Path):
    done = infer.producer(
        *("enqueue", "infer", "colorizer", "examples/images/bird.jpg"),
        *("--palette", "#8fb3d9,#3a5f3c,#d9b48f", "--out", out.name),
    )
    assert done.returncode == 0
    assert list(out.glob("bird.*color*.png"))


def test_a_model_classifies_a_digit(infer: Stack):
    done = infer.producer("enqueue", "infer", "digits", "examples/images/bird.jpg", "--wait")
    assert "bird" in done.stdout


def test_the_producer_knows_the_models(infer: Stack):
    said = infer.producer("models", "list").stdout
    assert "colorizer" in said
    assert "digits" in said


def test_a_missing_folder_of_models_is_named_and_not_made(infer: Stack):
    command = "AGEWELL_MODELS_DIR=./typo docker compose run --rm --no-deps producer models list"
    done = infer.as_user("sh", "-c", command, check=False)
    assert done.returncode != 0
    assert "typo" in done.stderr
    assert "does not exist" in done.stderr
    assert not (infer.folder / "typo").exists()


def test_prometheus_scrapes_the_exporter_and_reads_the_alerts(stack: Stack, measured):
    stack.up("metrics", "prometheus", services=("metrics", "prometheus"))
    site = f"http://127.0.0.1:{stack.prometheus_port}/api/v1"

    def get(path: str) -> dict[str, dict[str, list[dict[str, list[str]]]]]:
        with urllib.request.urlopen(f"{site}/{path}", timeout=10) as answer:
            return json.load(answer)

    def is_scraped() -> bool:
        results = get("query?query=agewell_up")["data"]["result"]
        return [each["value"][1] for each in results] == ["1"]

    until(is_scraped, 60, lambda: get("targets"))
    groups = get("rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    measured("metrics, MB", f"{stack.engine.memory_mb(stack.name('metrics')):.0f}")
    assert not [rule for rule in rules if rule["health"] == "err"]
