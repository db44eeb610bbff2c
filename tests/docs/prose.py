"""Measure the prose of docstrings and of the documentation: `python -m tests.docs.prose [-v]`.

With `-v` it lists every docstring that a bound is about. The bounds come from other projects' code:
their docstrings have almost no "what" and no "where" for "if", and their docs say "you".
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("shared", "producer", "workers", "agewell")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

WHAT_MOST = 2.0
WHERE_MOST = 1.5
SEMICOLONS_MOST = 0.01
YOU_LEAST = 10.0
"""Bounds: the first two and the last per 1,000 words, the other a share of all first lines."""

_WORD = re.compile(r"[A-Za-z']+")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"\]\([^)]*\)")


@dataclass(frozen=True)
class Docstring:
    """One docstring, or the text below a constant or a field."""

    path: Path
    line: int
    text: str

    @property
    def first_line(self) -> str:
        return self.text.strip().partition("\n")[0]

    @property
    def words(self) -> int:
        return len(_WORD.findall(self.text))

    @property
    def begins_badly(self) -> bool:
        return re.match(r"\s*(What|Whether|Who)\b", self.text) is not None

    def count(self, word: str) -> int:
        return len(re.findall(rf"\b{word}\b", self.text, re.IGNORECASE))


@dataclass(frozen=True)
class Figures:
    """The figures of a set of docstrings."""

    words: int
    what: float
    """Per 1,000 words, as is `where`."""
    where: float
    semicolons: float
    """The share of first lines with a semicolon, 0 to 1."""
    begin_badly: tuple[Docstring, ...]


def docstrings(folder: Path) -> Iterator[Docstring]:
    """All docstrings below a folder; links to other folders are not followed."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for text in _texts(node):
                yield Docstring(path, text.lineno, str(text.value))


def _texts(node: ast.AST) -> Iterator[ast.Constant]:
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return
    before = [None, *body]
    for previous, statement in zip(before, body, strict=False):
        value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        is_first = previous is None and isinstance(node, DOCUMENTED)
        if is_text and (is_first or isinstance(previous, ast.Assign | ast.AnnAssign)):
            yield value


def figures(found: list[Docstring]) -> Figures:
    """The figures that the bounds are for."""
    words = sum(each.words for each in found)
    firsts = sum(";" in each.first_line for each in found)
    return Figures(
        words=words,
        what=1000 * sum(each.count("what") for each in found) / words,
        where=1000 * sum(each.count("where") for each in found) / words,
        semicolons=firsts / len(found),
        begin_badly=tuple(each for each in found if each.begins_badly),
    )


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and the pages of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def words_of_page(text: str) -> list[str]:
    """The words of a page, without code and without the addresses of links."""
    return [word.lower() for word in _WORD.findall(_ADDRESS.sub("]", _CODE.sub(" ", text)))]


def you_of_pages() -> dict[Path, tuple[int, int]]:
    """How often each page says "you", and how many words it has."""
    found = {}
    for page in pages():
        words = words_of_page(page.read_text())
        found[page] = (words.count("you"), len(words))
    return found


def code_docstrings() -> list[Docstring]:
    """The docstrings of the package."""
    return [each for folder in FOLDERS for each in docstrings(ROOT / folder)]


def main() -> None:
    """Print the figures; with -v, each docstring that they are about."""
    say = sys.stdout.write
    for folder in FOLDERS:
        found = list(docstrings(ROOT / folder))
        each = figures(found)
        say(
            f"{folder:10} {len(found):5} docstrings, {each.words:6} words; per 1,000 words:"
            f" what {each.what:.1f}, where {each.where:.1f}; first lines with a semicolon"
            f" {each.semicolons:.1%}; begin with What, Whether, Who: {len(each.begin_badly)}\n"
        )
    if "-v" in sys.argv:
        for docstring in code_docstrings():
            marks = [word for word in ("what", "where") for _ in range(docstring.count(word))]
            marks += [";"] * (";" in docstring.first_line) + ["BEGINS"] * docstring.begins_badly
            if marks:
                place = f"{docstring.path.relative_to(ROOT)}:{docstring.line}"
                say(f"{place}: {' '.join(marks)} | {docstring.first_line}\n")
    counts = you_of_pages()
    for page, (you, words) in counts.items():
        say(f"{page.relative_to(ROOT)!s:26} {words:5} words, you {1000 * you / words:.1f}\n")
    you, words = (sum(each) for each in zip(*counts.values(), strict=True))
    say(f"{'all pages':26} {words:5} words, you {1000 * you / words:.1f}\n")


if __name__ == "__main__":
    main()
