"""Names and errors from elsewhere do nothing to a terminal or a log."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from agewell.producer.cli import terminal
from agewell.shared.protocol.built_in_jobs import HsvItem
from agewell.shared.protocol.messages import ImageRef, ItemResult, JobResult
from agewell.shared.text.printable import printable

EVIL = "a\x1b[31m\x07\r\n\x7f\x9b31m\u202egnp.exe\u2028\u2066.png"


def reference(name):
    return {
        "uri": "redis:" + "0" * 64,
        "sha256": "0" * 64,
        "size_bytes": 1,
        "media_type": "image/png",
        "name": name,
    }


def test_control_characters_become_escapes():
    assert printable(EVIL) == (r"a\x1b[31m\x07\r\n\x7f\x9b31m\u202egnp.exe\u2028\u2066.png")
    assert printable("caf\udce9.png") == r"caf\xe9.png"


@pytest.mark.parametrize(
    "name", ["caf\u00e9.png", "\u5199\u771f.jpg", "\U0001f469\u200d\U0001f52c.png", "a b.png"]
)
def test_text_in_any_script_stays_as_it_is(name):
    assert printable(name) == name


@given(st.text())
def test_nothing_that_is_printed_controls_anything(text):
    kinds = {unicodedata.category(each) for each in printable(text)}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}


def test_a_name_in_a_message_has_no_control_characters():
    assert ImageRef(**reference(EVIL)).name == printable(EVIL)
    item = HsvItem.model_validate({"image": reference("x.png"), "output_name": EVIL})
    assert item.output_name == printable(EVIL)


def test_a_stored_result_with_control_characters_can_still_be_read():
    document = {"op": "hsv", "items": [{"image": reference("\x1b" * 1000)}]}
    [item] = JobResult.model_validate(document).items
    assert item.image.name == r"\x1b" * 1000


def test_output_has_no_control_characters(capsys):
    table = Table("heading")
    table.add_row(EVIL)
    terminal.out.print(table)
    terminal.print_line(EVIL)
    terminal.out.print_json('{"name": "\\u009b\\u202e"}')
    for say in (
        terminal.print_note,
        terminal.print_error,
        lambda text: terminal.print_status(text, text),
    ):
        say(EVIL)
    result = ItemResult(
        prediction={"classes": [{"label": EVIL, "probability": 0.5}]},
        info={"image": EVIL, "model": EVIL, "version": "1"},
    )
    terminal.print_predictions([result], header=True)
    for written in capsys.readouterr():
        assert r"\x1b[31m" in written or r"\x9b" in written
        assert {unicodedata.category(each) for each in written.replace("\n", "")}.isdisjoint({"Cc"})
        assert not set("\u202e\u2028\u2066") & set(written)


def test_a_long_error_is_one_line_in_a_pipe(capsys):
    terminal.print_error("deep/" * 300 + "x.png: not a regular file")
    assert len(capsys.readouterr().err.splitlines()) == 1
