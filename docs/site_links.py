"""A hook of mkdocs for links that leave docs/: the site has only what lies in that folder.

CONTRIBUTING.md becomes a page of the site. Other files of the repository are named instead of
linked.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = "contributing.md"

_LEAVING = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")
_INTO_DOCS = re.compile(r"\]\(docs/")
_OF_ROOT = re.compile(r"\[([^\]]+)\]\((?!https?:|#|docs/)([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add CONTRIBUTING.md to the site's pages."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files.append(File.generated(config, CONTRIBUTING, content=contributing_page(text)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links that leave docs/ into links to a page, or into names of files."""
    return _LEAVING.sub(_inside, markdown)


def contributing_page(text: str) -> str:
    """Rewrite the links of CONTRIBUTING.md for a page that lies in docs/."""
    return _INTO_DOCS.sub("](", _OF_ROOT.sub(_named, text))


def _inside(match: re.Match[str]) -> str:
    text, path, anchor = match[1], match[2], match[3] or ""
    if path == "CONTRIBUTING.md":
        return f"[{text}]({CONTRIBUTING}{anchor})"
    return _named(match)


def _named(match: re.Match[str]) -> str:
    text, path = match[1], match[2]
    return text if text.strip("`") == path else f"{text} (`{path}`)"
