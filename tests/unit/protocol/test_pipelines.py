"""Pipelines as text and as documents, and steps as text again."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.jobs import ResizeStep, WatermarkStep
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.messages import ImageRef, Step
from agewell.shared.protocol.pipelines import (
    StepText,
    parameter_values,
    parse_steps,
    step_as_text,
    steps_of_document,
)

LOGO = ImageRef(
    uri="redis:" + "0" * 64,
    sha256="0" * 64,
    size_bytes=1,
    media_type="image/png",
    name="my logo.png",
)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (
            "resize width=1600 | watermark image=logo.png opacity=0.4 | sharpen",
            [
                ("resize", {"width": "1600"}),
                ("watermark", {"image": "logo.png", "opacity": "0.4"}),
                ("sharpen", {}),
            ],
        ),
        ("resize width=5|sharpen", [("resize", {"width": "5"}), ("sharpen", {})]),
        ("resize\n  width=5\n| sharpen\n", [("resize", {"width": "5"}), ("sharpen", {})]),
        ("watermark image='my logo|2.png'", [("watermark", {"image": "my logo|2.png"})]),
        ('watermark image="a=b.png"', [("watermark", {"image": "a=b.png"})]),
        ("watermark image=my\\ logo.png", [("watermark", {"image": "my logo.png"})]),
        ("hsv full_range", [("hsv", {"full_range": True})]),
        ("flatten background=#ff0000", [("flatten", {"background": "#ff0000"})]),
        ("sharpen amount=", [("sharpen", {"amount": ""})]),
    ],
)  # fmt: skip
def test_line_is_read_as_a_shell_reads_it(text: str, steps: list[tuple[str, dict]]):
    assert parse_steps(text) == [StepText(*each) for each in steps]


@pytest.mark.parametrize(
    "text", ["", "  ", "|", "sharpen |", "| sharpen", "sharpen || flip", "a=b"]
)
def test_step_without_an_operation_is_refused(text: str):
    with pytest.raises(ParameterError, match="with a step that names no operation; allowed: steps"):
        parse_steps(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("watermark image='logo.png", r"allowed: closed quotes \(No closing quotation\)"),
        ("flip | resize width=1 width=2", "^step 2, resize: width is given twice; allowed: one"),
        (" | ".join(["flip"] * 33), "^the pipeline is 33 steps; allowed: 1 to 32 steps$"),
    ],
)
def test_wrong_line_is_refused_with_the_step(text: str, said: str):
    with pytest.raises(ParameterError, match=said):
        parse_steps(text)


def test_thirty_two_steps_are_allowed():
    assert len(parse_steps(" | ".join(["flip"] * 32))) == 32


@pytest.mark.parametrize(
    "document",
    [
        ["sharpen", "flip"],
        {"steps": ["sharpen", {"flip": None}]},
        [{"sharpen": {}}, {"op": "flip"}],
    ],
)
def test_steps_of_a_document_have_three_spellings(document: object):
    assert steps_of_document(document) == [StepText("sharpen", {}), StepText("flip", {})]


def test_parameters_of_a_document_keep_their_types():
    document = [
        {"resize": {"width": 800, "enlarge": True}},
        {"op": "crop", "box": [1, 2, 3, 4]},
        {"stamp": {"on": datetime.date(2026, 1, 31)}},
    ]
    assert steps_of_document(document) == [
        StepText("resize", {"width": 800, "enlarge": True}),
        StepText("crop", {"box": [1, 2, 3, 4]}),
        StepText("stamp", {"on": "2026-01-31"}),
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "^the pipeline is None; allowed: a list of steps$"),
        ("sharpen", "^the pipeline is 'sharpen'; allowed: a list of steps$"),
        ({"steps": None}, "allowed: a list of steps"),
        ({"resize": {"width": 5}}, "allowed: a list of steps"),
        ([], "^the pipeline is 0 steps; allowed: 1 to 32 steps$"),
        (["flip"] * 33, "^the pipeline is 33 steps"),
        (["flip", 5], "^step 2 is 5; allowed: a step such as `resize: {width: 800}`$"),
        ([{"resize": 5}], "^step 1 is {'resize': 5}; allowed: a step"),
        ([{"resize": {"width": 5}, "flip": {}}], "^step 1 is .*; allowed: a step"),
        ([{"op": 5}], "^step 1 is"),
        ([{5: 6}], "^step 1 is"),
        (
            ["flip", {"flatten": {"background": None}}],
            "^step 2, flatten: background is empty; allowed: a value; put quotes around a #$",
        ),
    ],
)
def test_wrong_document_is_refused_with_the_step(document: object, said: str):
    with pytest.raises(ParameterError, match=said):
        steps_of_document(document)


def test_texts_are_read_by_the_schema_and_images_are_left_out():
    step = StepText("watermark", {"image": "logo.png", "opacity": ".4", "margin": "8"})
    found = parameter_values(step, built_in_schemas()["watermark"])
    assert found == {"opacity": 0.4, "margin": 8}


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step(op="sharpen"), "sharpen"),
        (WatermarkStep(image=LOGO, opacity=0.4), "watermark opacity=0.4 image='my logo.png'"),
        (ResizeStep(mode="fill", width=5, height=None), "resize width=5 mode=fill"),
        (
            Step(op="crop", box=[1, 2, 3, 4], on=True, image=LOGO.model_dump()),
            "crop box=1,2,3,4 on=true image='my logo.png'",
        ),
    ],
)
def test_step_is_shown_as_it_would_be_typed(step: Step, text: str):
    assert step_as_text(step) == text


words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=10)


@given(st.lists(st.dictionaries(words.filter(str.isidentifier), words, max_size=3), min_size=1))
def test_steps_shown_are_read_back(parameters: list[dict[str, str]]):
    steps = [
        StepText("sharpen", {name: value for name, value in each.items() if name != "op"})
        for each in parameters[:32]
    ]
    shown = " | ".join(step_as_text(Step(op=each.op, **each.values)) for each in steps)
    assert parse_steps(shown) == steps


@given(st.text(max_size=60))
def test_any_line_is_steps_or_a_parameter_error(text: str):
    try:
        found = parse_steps(text)
    except ParameterError:
        return
    assert all(each.op for each in found)
