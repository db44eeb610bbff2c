"""Exports of the models that come with agewell, by the commands of the docs, and who serves."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.e2e.doc_pages import ROOT, commands
from tests.support.stack import Stack, agewell, started, state_directory

pytestmark = pytest.mark.timeout(600)

DIGITS = ROOT / "examples" / "digits"


def documented() -> list[list[str]]:
    """The arguments of the commands of docs/onnx.md that export digits to versions of their own."""
    lines = [each.text.partition("  #")[0] for each in commands("docs/onnx.md")]
    exports = [each for each in lines if each.startswith("agewell models export digits")]
    return [each.split()[1:] for each in exports if "--beside" not in each]


def served(stack: Stack, *options: object) -> tuple[str, str]:
    """The version that classifies a picture of a seven, and its first class."""
    [found] = stack.documents("enqueue", "infer", "digits", DIGITS / "7.png", "--json", *options)
    item = found["items"][0]
    return item["info"]["version"], item["prediction"]["classes"][0]["label"]


def test_documented_exports_work_in_sequence_and_serve_only_once_activated():
    shipped = sorted((ROOT / "models").rglob("*"))
    with state_directory() as state, started(state, CONCURRENCY=1) as stack:
        exports = documented()
        assert len(exports) == 2
        for arguments in exports:
            done = stack.ok(*arguments, "--threads", "1")
            [made] = re.findall(r"^made (.+)$", done.stdout, re.MULTILINE)
            [following] = re.findall(r"^to serve it: agewell (.+)$", done.stdout, re.MULTILINE)
            assert Path(made).parent == state / "models" / "digits"
            assert served(stack, "--wait") == ("1", "7")
        stack.ok(*following.split())
        assert served(stack, "--wait") == ("1-int8", "7")
        assert served(stack, "--wait", "--version", "1-onnx") == ("1-onnx", "7")
        stack.stop()
    assert sorted((ROOT / "models").rglob("*")) == shipped


def test_bench_measures_without_redis_and_says_what_it_measured(tmp_path):
    env = os.environ | {"AGEWELL_STATE_DIR": str(tmp_path)}
    given = ["models", "bench", "digits", "--seconds", "0.1", "--threads", "1"]
    done = agewell(*given, "--images", DIGITS, env=env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "agreement with torch in float32: same top class, on 10 images." in lines
    assert "measuring digits/1: 1 of 4" in done.stderr
    told = agewell(*given, "--versions", "1", "--json", env=env)
    [found] = map(json.loads, told.stdout.splitlines())
    assert [each["batch"] for each in found["batches"]] == [1, 4, 16]
    assert found["agreement"]["noise"] is True
    wrong = agewell(*given, "--versions", "9", env=env)
    assert wrong.returncode == 2
    assert "digits/9" in wrong.stderr
