"""Every link and every path that the pages name leads to something that exists."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from agewell.workers.operations.registry import GROUP
from tests.docs.prose import ROOT

NO_MODULES = {GROUP, "agewell.target", "agewell.env"}
"""An entry point's group, a unit of systemd and its environment file."""

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The changelog names files of earlier versions too."""

HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FOLDERS = "agewell|shared|producer|workers|models|tests|benchmarks|examples|docs|deploy"
PATH = re.compile(rf"`((?:{FOLDERS})/(?!secrets)[\w./-]*\w/?)`")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    made = (re.sub(r"[^\w\s-]", "", title.lower()) for title in HEADING.findall(text))
    return {re.sub(r"\s", "-", title.strip()) for title in made}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path):
    missing = []
    for file, anchor in LINK.findall(page.read_text()):
        target = page.parent / file if file else page
        if not target.exists():
            missing.append(file)
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            missing.append(f"{file}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path):
    named = PATH.findall(page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_names_exists(page: Path):
    named = set(re.findall(r"(?<![/\w])agewell(?:\.[a-z_]+)+", page.read_text()))
    assert [name for name in sorted(named - NO_MODULES) if not _exists(name)] == []


def _exists(name: str) -> bool:
    """True for a module, and for a name in one."""
    parent, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:  # the parent is a module, and no package
        pass
    return hasattr(importlib.import_module(parent), last)
