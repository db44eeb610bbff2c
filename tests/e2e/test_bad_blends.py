"""Masks, offsets and parameters that do not fit, through the real queue."""

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from agewell.shared.errors import (
    AgewellError,
    BadJobError,
    MaskError,
    ParameterError,
    ShapeError,
    UnsupportedPixelsError,
)
from tests.oracles.direct_poisson import direct_poisson
from tests.support.image_files import HEIGHT, WIDTH, file_of, picture
from tests.support.messages import Document, ask, bytes_of, inline
from tests.support.pixels import over, same
from tests.support.stack import Stack

pytestmark = pytest.mark.usefixtures("unharmed")

FRONT = np.ascontiguousarray(np.asarray(picture())[..., ::-1])
BACK = np.ascontiguousarray(np.asarray(picture().rotate(180))[..., ::-1])


def sent(image: np.ndarray, name: str) -> Document:
    return inline(cv2.imencode(".png", image)[1].tobytes(), name)


def mask_of(rows: slice, columns: slice, value: int = 255) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows, columns] = value
    return mask


NOTHING = mask_of(slice(0), slice(0))
MIDDLE = mask_of(slice(8, 20), slice(10, 30))
EDGE = mask_of(slice(0, 1), slice(0, WIDTH))
CORNER = mask_of(slice(0, 12), slice(0, 15))
SMALL = np.full((10, 12), 255, np.uint8)


def alpha_job(mask: np.ndarray | None = None, **more: object) -> Document:
    item = {"foreground": sent(FRONT, "front.png"), "background": sent(BACK, "back.png")}
    if mask is not None:
        item["mask"] = sent(mask, "mask.png")
    return {"op": "alpha_blend", "items": [item], **more}


def poisson_job(mask: np.ndarray, **more: object) -> Document:
    item = {
        "source": sent(FRONT, "front.png"),
        "mask": sent(mask, "mask.png"),
        "destination": sent(BACK, "back.png"),
    }
    return {"op": "poisson_blend", "items": [item], **more}


CLEAR_MASK = cv2.cvtColor(MIDDLE, cv2.COLOR_GRAY2BGRA)
REFUSED: dict[str, tuple[Document, type[AgewellError], list[str]]] = {
    "alpha_above_one": (alpha_job(alpha=1.5), BadJobError, ["alpha", "1.5"]),
    "negative_alpha": (alpha_job(alpha=-0.1), BadJobError, ["alpha", "-0.1"]),
    "nan_alpha": (alpha_job(alpha=float("nan")), BadJobError, ["alpha", "nan"]),
    "infinite_alpha": (alpha_job(alpha=float("inf")), BadJobError, ["alpha", "inf"]),
    "wordy_alpha": (alpha_job(alpha="half"), BadJobError, ["alpha", "half"]),
    "no_weight_at_all": (alpha_job(), ParameterError, ["alpha is not given"]),
    "mask_of_another_size": (
        alpha_job(SMALL),
        ShapeError,
        ["front.png", "mask", "12 x 10", f"{WIDTH} x {HEIGHT}"],
    ),
    "mask_with_alpha": (alpha_job(CLEAR_MASK), UnsupportedPixelsError, ["mask.png", "alpha"]),
    "offset_past_the_right": (
        alpha_job(alpha=0.5, offset=[WIDTH, 0]),
        ShapeError,
        ["front.png", f"x={WIDTH}, y=0", "outside of the background"],
    ),
    "offset_past_the_top": (
        alpha_job(alpha=0.5, offset=[0, -HEIGHT]),
        ShapeError,
        ["front.png", f"x=0, y=-{HEIGHT}", "outside of the background"],
    ),
    "offset_of_one_number": (alpha_job(alpha=0.5, offset=[1]), BadJobError, ["offset"]),
    "fraction_in_offset": (alpha_job(alpha=0.5, offset=[0.5, 0]), BadJobError, ["offset", "0.5"]),
    "enormous_offset": (alpha_job(alpha=0.5, offset=[2**31 - 1, 0]), ShapeError, ["outside"]),
    "offset_past_32_bits": (
        alpha_job(alpha=0.5, offset=[10**30, 0]),
        BadJobError,
        ["not a valid job: offset.0", "at most 2147483647"],
    ),
    "unknown_gradient": (
        poisson_job(MIDDLE, gradient="min"),
        BadJobError,
        ["gradient", "src", "max", "avg", "min"],
    ),
    "empty_mask": (poisson_job(NOTHING), MaskError, ["mask.png", "selects nothing", "0, of 128"]),
    "faint_mask": (
        poisson_job(mask_of(slice(5, 9), slice(5, 9), 127)),
        MaskError,
        ["mask.png", "selects nothing", "127, of 128"],
    ),
    "mask_at_the_border_alone": (poisson_job(EDGE), MaskError, ["mask.png", "outermost"]),
    "poisson_mask_of_another_size": (
        poisson_job(SMALL),
        ShapeError,
        ["front.png", "12x10", f"{WIDTH}x{HEIGHT}", "mask_on_source"],
    ),
    "mask_beside_the_source": (
        poisson_job(SMALL, mask_on_source=[WIDTH - 6, 0]),
        ShapeError,
        ["front.png", f"x {WIDTH - 6}..{WIDTH + 5}", f"{WIDTH}x{HEIGHT}"],
    ),
    "mask_beside_the_destination": (
        poisson_job(MIDDLE, mask_on_destination=[WIDTH, 0]),
        MaskError,
        ["mask.png", "selects nothing on the destination", f"{WIDTH}x{HEIGHT}"],
    ),
    "mask_above_the_destination": (
        poisson_job(MIDDLE, mask_on_destination=[0, -HEIGHT]),
        MaskError,
        ["mask.png", "selects nothing on the destination"],
    ),
    "enormous_place": (
        poisson_job(MIDDLE, mask_on_destination=[2**31 - 1, 0]),
        MaskError,
        ["mask.png", "selects nothing on the destination"],
    ),
    "place_past_32_bits": (
        poisson_job(MIDDLE, mask_on_destination=[10**30, 0]),
        BadJobError,
        ["not a valid job: mask_on_destination.0", "at most 2147483647"],
    ),
}


@pytest.mark.parametrize(("job", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_a_blend_that_cannot_be_is_refused_in_words(
    stack: Stack, job: Document, error: type[AgewellError], words: list[str]
):
    with pytest.raises(error) as raised:
        ask(stack, f"cv.{job['op']}", job)
    for word in words:
        assert word in str(raised.value)


def result_of(stack: Stack, job: Document) -> bytes:
    answer = ask(stack, f"cv.{job['op']}", job)
    return bytes_of(stack, answer["items"][0]["image"])


def test_a_mask_of_zeros_and_ones_is_as_good_as_one_of_0_and_255(stack: Stack):
    ones = MIDDLE // 255
    assert same(result_of(stack, alpha_job(ones)), over(FRONT, BACK, MIDDLE / 255))
    assert result_of(stack, poisson_job(ones)) == result_of(stack, poisson_job(MIDDLE))


def test_a_colour_mask_is_its_mean(stack: Stack):
    mask = np.dstack([MIDDLE, MIDDLE, np.zeros_like(MIDDLE)])
    assert same(result_of(stack, alpha_job(mask)), over(FRONT, BACK, MIDDLE / 255 * 170 / 255))


def test_a_one_bit_mask_is_taken(stack: Stack):
    job = alpha_job()
    job["items"][0]["mask"] = inline(file_of("PNG", Pillow.fromarray(MIDDLE).convert("1")))
    assert same(result_of(stack, job), over(FRONT, BACK, MIDDLE / 255))


PLACED = {
    "at_the_corner": (CORNER, (0, 0)),
    "the_whole_image": (np.full((HEIGHT, WIDTH), 255, np.uint8), (0, 0)),
    "cut_at_the_top_left": (MIDDLE, (-15, -12)),
    "cut_at_the_bottom_right": (MIDDLE, (25, 18)),
}


@pytest.mark.parametrize(("mask", "at"), PLACED.values(), ids=PLACED)
def test_a_mask_at_an_edge_is_blended_as_a_direct_solver_does(
    stack: Stack, mask: np.ndarray, at: tuple[int, int]
):
    found = result_of(stack, poisson_job(mask, mask_on_destination=at))
    image = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR)
    exact = np.clip(direct_poisson(FRONT, mask, BACK, on_dest=at), 0, 255)
    assert np.abs(image - exact).max() <= 2
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        np.testing.assert_array_equal(image[edge], BACK[edge])


def test_one_bad_blend_does_not_fail_its_neighbours(stack: Stack):
    job = alpha_job(MIDDLE)
    bad = alpha_job(SMALL)["items"]
    job["items"] = [*job["items"], *bad, *job["items"]]
    first, second, third = ask(stack, "cv.alpha_blend", job)["items"]
    for item in (first, third):
        assert same(bytes_of(stack, item["image"]), over(FRONT, BACK, MIDDLE / 255))
    assert second["error"]["code"] == "ShapeError"
    assert "front.png" in second["error"]["message"]
