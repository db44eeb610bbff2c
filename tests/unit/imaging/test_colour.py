"""Colours against Pillow's reader of HTML colours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor
from pydantic import TypeAdapter, ValidationError

from agewell.shared.errors import ParameterError
from agewell.workers.imaging.colour import Colour, OpaqueColour, parse_colour

WRONG = ["", "red", "#fff", "ff0000", "#ff00", "#gg0000", "#ff0000f", "#ff0000\n", " #ff0000", "#"]


@given(st.from_regex(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?", fullmatch=True))
def test_it_agrees_with_pillow(text):
    red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")
    assert parse_colour(text, "background") == (blue, green, red, alpha)
    assert TypeAdapter(Colour).validate_python(text) == text


def test_transparent_is_all_zeros():
    assert parse_colour("transparent", "background") == (0, 0, 0, 0)
    assert TypeAdapter(Colour).validate_python("transparent") == "transparent"


@pytest.mark.parametrize("text", WRONG)
def test_other_texts_are_refused(text):
    with pytest.raises(ParameterError, match=r"^background is .*; allowed: #rrggbb"):
        parse_colour(text, "background")
    for kind in (Colour, OpaqueColour):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize("text", ["#ff000080", "transparent"])
def test_an_opaque_colour_has_no_alpha(text):
    with pytest.raises(ValidationError):
        TypeAdapter(OpaqueColour).validate_python(text)
