"""Docstrings and pages are in plain English, as far as counting words can tell."""

import pytest

from tests.docs.prose import (
    FOLDERS,
    ROOT,
    SEMICOLONS_MOST,
    WHAT_MOST,
    WHERE_MOST,
    YOU_LEAST,
    Docstring,
    code_docstrings,
    docstrings,
    figures,
    words_of_page,
    you_of_pages,
)


@pytest.fixture(scope="module", params=["shared", "producer", "workers", "all of them"])
def found(request: pytest.FixtureRequest) -> list[Docstring]:
    if request.param in FOLDERS:
        return list(docstrings(ROOT / request.param))
    return code_docstrings()


def test_docstrings_name_things_instead_of_saying_what(found):
    assert figures(found).what <= WHAT_MOST


def test_docstrings_say_if_for_a_condition_and_not_where(found):
    assert figures(found).where <= WHERE_MOST


def test_first_lines_of_docstrings_have_one_thought(found):
    assert figures(found).semicolons <= SEMICOLONS_MOST


def test_no_docstring_begins_with_what_whether_or_who(found):
    assert [f"{each.path}:{each.line}" for each in figures(found).begin_badly] == []


def test_the_pages_speak_to_their_reader():
    counts = you_of_pages().values()
    assert 1000 * sum(you for you, _ in counts) / sum(words for _, words in counts) >= YOU_LEAST


def test_docstrings_are_found_wherever_they_stand(tmp_path):
    (tmp_path / "module.py").write_text(
        '"""A module; with a riddle."""\n'
        "X = 1\n"
        '"""What a constant says, where it says it."""\n'
        "class Thing:\n"
        '    """A class."""\n'
        "    field: int\n"
        '    """A field."""\n'
        "    async def method(self):\n"
        '        """Whether it works."""\n'
        '        print("no docstring")\n'
        '        "nor is this: it stands below a call"\n'
    )
    found = list(docstrings(tmp_path))
    assert sorted(each.line for each in found) == [1, 3, 5, 7, 9]
    measured = figures(found)
    assert (measured.words, measured.what) == (20, pytest.approx(1000 / 20))
    assert measured.where == pytest.approx(1000 / 20)
    assert measured.semicolons == 1 / 5
    assert sorted(each.line for each in measured.begin_badly) == [3, 9]


def test_words_of_code_and_of_addresses_do_not_count():
    page = "You [read](your/page.md) `you` this:\n\n```sh\nyour command\n```\n"
    assert words_of_page(page) == ["you", "read", "this"]
