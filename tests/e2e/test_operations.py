"""The three operations on photos, by the command line, from files to files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.oracles.direct_poisson import direct_poisson
from tests.support.pixels import over, read
from tests.support.stack import Stack


@pytest.fixture
def blends(photos: Path) -> dict:
    return json.loads((photos / "blends.json").read_text())


def test_hsv_of_a_folder_is_opencvs_in_every_pixel(stack: Stack, photos: Path, tmp_path: Path):
    stack.ok("enqueue", "hsv", photos, "--out", tmp_path)
    sources = [path for path in photos.iterdir() if path.suffix in (".jpg", ".png")]
    assert len(sources) == 20
    for source in sources:
        expected = cv2.cvtColor(read(source), cv2.COLOR_BGR2HSV)
        found = read(tmp_path / f"{source.stem}.hsv.png", cv2.IMREAD_UNCHANGED)
        if source.name == "dahlia-cutout.png":
            alpha = read(source, cv2.IMREAD_UNCHANGED)[..., 3]
            expected = np.dstack([expected, alpha])
        np.testing.assert_array_equal(found, expected, err_msg=source.name)
    assert len(list(tmp_path.iterdir())) == len(sources)


def test_full_range_hsv_is_opencvs_too(stack: Stack, photos: Path, tmp_path: Path):
    stack.ok("enqueue", "hsv", photos / "kodim23-macaws.jpg", "--full-range", "--out", tmp_path)
    expected = cv2.cvtColor(read(photos / "kodim23-macaws.jpg"), cv2.COLOR_BGR2HSV_FULL)
    np.testing.assert_array_equal(read(tmp_path / "kodim23-macaws.hsv.png"), expected)
    assert expected[..., 0].max() > 179


def test_a_jpeg_result_is_the_jpeg_that_opencv_writes(stack: Stack, photos: Path, tmp_path: Path):
    source = photos / "bird.jpg"
    stack.ok("enqueue", "hsv", source, "--format", "jpeg", "--quality", 80, "--out", tmp_path)
    hsv = cv2.cvtColor(read(source), cv2.COLOR_BGR2HSV)
    _, expected = cv2.imencode(".jpg", hsv, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert (tmp_path / "bird.hsv.jpeg").read_bytes() == expected.tobytes()


def test_a_webp_result_is_lossless_unless_a_quality_is_asked_for(
    stack: Stack, photos: Path, tmp_path: Path
):
    source = photos / "bird.jpg"
    expected = cv2.cvtColor(read(source), cv2.COLOR_BGR2HSV)
    stack.ok("enqueue", "hsv", source, "--format", "webp", "--out", tmp_path)
    np.testing.assert_array_equal(read(tmp_path / "bird.hsv.webp"), expected)
    lossy = tmp_path / "lossy"
    stack.ok("enqueue", "hsv", source, "--format", "webp", "--quality", 30, "--out", lossy)
    assert (lossy / "bird.hsv.webp").stat().st_size < (tmp_path / "bird.hsv.webp").stat().st_size
    assert not np.array_equal(read(lossy / "bird.hsv.webp"), expected)


def test_a_cutout_is_blended_by_its_own_alpha(
    stack: Stack, photos: Path, tmp_path: Path, blends: dict
):
    given = blends["alpha_own"]
    foreground, background = photos / given["foreground"], photos / given["background"]
    offset = ",".join(map(str, given["offset"]))
    stack.ok("enqueue", "blend", foreground, background, "--offset", offset, "--out", tmp_path)
    cutout = read(foreground, cv2.IMREAD_UNCHANGED)
    expected = over(cutout[..., :3], read(background), cutout[..., 3] / 255, given["offset"])
    np.testing.assert_array_equal(read(tmp_path / "dahlia-cutout.alpha_blend.png"), expected)


def test_day_and_night_are_blended_by_a_mask(
    stack: Stack, photos: Path, tmp_path: Path, blends: dict
):
    day, night, mask = (
        photos / blends["alpha_mask"][k] for k in ("foreground", "background", "mask")
    )
    stack.ok("enqueue", "blend", day, night, "--mask", mask, "--out", tmp_path)
    expected = over(read(day), read(night), read(mask, cv2.IMREAD_GRAYSCALE) / 255)
    np.testing.assert_array_equal(read(tmp_path / "canyon-day.alpha_blend.png"), expected)


def test_one_alpha_blends_the_whole_image(stack: Stack, photos: Path, tmp_path: Path):
    day, night = photos / "canyon-day.jpg", photos / "canyon-night.jpg"
    stack.ok("enqueue", "blend", day, night, "--alpha", 0.3, "--out", tmp_path)
    expected = over(read(day), read(night), 0.3)
    np.testing.assert_array_equal(read(tmp_path / "canyon-day.alpha_blend.png"), expected)


def test_an_offset_may_lie_partly_outside(stack: Stack, photos: Path, tmp_path: Path):
    bird, sky = photos / "bird.jpg", photos / "kodim23-macaws.jpg"
    for name, (x, y) in {"above": (-100, -60), "beyond": (700, 450)}.items():
        out = tmp_path / name
        stack.ok(
            "enqueue", "blend", bird, sky, "--alpha", 0.5, f"--offset={x},{y}", "--out", out
        )  # fmt: skip
        under, small = read(sky), read(bird)
        wide = cv2.copyMakeBorder(under, 200, 200, 300, 300, cv2.BORDER_CONSTANT)
        expected = over(small, wide, 0.5, (x + 300, y + 200))[200:-200, 300:-300]
        np.testing.assert_array_equal(read(out / "bird.alpha_blend.png"), expected)


@pytest.mark.parametrize("gradient", ["src", "max", "avg"])
def test_a_jellyfish_is_blended_as_a_direct_solver_does(
    stack: Stack, photos: Path, tmp_path: Path, blends: dict, gradient: str
):
    given = blends["poisson"]
    paths = [photos / given[key] for key in ("source", "mask", "destination")]
    at = given["mask_on_destination"]
    stack.ok(
        *("enqueue", "poisson", *paths, "--at", f"{at[0]},{at[1]}"),
        *("--gradient", gradient, "--out", tmp_path),
    )
    found = read(tmp_path / "jellyfish.poisson_blend.png")
    source, mask, destination = read(paths[0]), read(paths[1], cv2.IMREAD_GRAYSCALE), read(paths[2])
    exact = direct_poisson(source, mask, destination, gradient, on_dest=tuple(at))
    assert np.abs(found - np.clip(exact, 0, 255)).max() <= 2
    outside = np.ones(destination.shape[:2], bool)
    outside[at[1] :, at[0] :][: mask.shape[0], : mask.shape[1]] &= mask < 128
    np.testing.assert_array_equal(found[outside], destination[outside])
    assert not np.array_equal(found, destination)


def test_a_mask_smaller_than_the_source_is_placed_on_it(stack: Stack, photos: Path, tmp_path: Path):
    source, destination = photos / "kodim23-macaws.jpg", photos / "bird.jpg"
    mask = tmp_path / "mask.png"
    disc = cv2.circle(np.zeros((80, 80), np.uint8), (40, 40), 35, 255, -1)
    cv2.imwrite(str(mask), disc)
    stack.ok(
        *("enqueue", "poisson", source, mask, destination, "--source-at", "300,200"),
        *("--at=-20,-10", "--out", tmp_path),
    )
    found = read(tmp_path / "kodim23-macaws.poisson_blend.png")
    exact = direct_poisson(
        read(source), disc, read(destination), on_source=(300, 200), on_dest=(-20, -10)
    )
    assert np.abs(found - np.clip(exact, 0, 255)).max() <= 2
