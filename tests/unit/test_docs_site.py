"""mkdocs.yml names every page, and the API pages name what there is; `make docs` builds it."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
API = sorted((ROOT / "docs" / "api").glob("*.md"))


def pages(entries: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        for value in entry.values():
            found += pages(value) if isinstance(value, list) else [value]
    return found


def test_the_navigation_leads_to_pages_that_exist():
    there = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    there.add("contributing.md")  # a hook makes it of CONTRIBUTING.md
    assert set(pages(SITE["nav"])) <= there
    assert there - set(pages(SITE["nav"])) == set()  # `make docs` is strict about these
    assert SITE["validation"]["nav"]["omitted_files"] == "warn"


def test_a_dead_link_stops_the_build_of_the_site():
    assert SITE["strict"]
    assert set(SITE["validation"]["links"].values()) == {"warn"}


def test_the_program_that_writes_pages_is_no_page():
    assert SITE["exclude_docs"] == "*.py"


def test_nothing_is_fetched_from_elsewhere():
    assert SITE["theme"]["font"] is False
    assert "extra_javascript" not in SITE


@pytest.mark.parametrize("page", API, ids=lambda page: page.stem)
def test_the_api_pages_name_what_there_is(page: Path):
    names = re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)
    assert names
    for name in names:
        module, _, last = name.rpartition(".")
        if last[0].isupper():
            assert hasattr(importlib.import_module(module), last)
        else:
            importlib.import_module(name)
