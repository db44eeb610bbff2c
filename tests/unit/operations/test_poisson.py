"""Poisson blending: its values against a direct solve, its rules one by one."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agewell.shared.errors import (
    BackendError,
    CancelledError,
    MaskError,
    ParameterError,
    ShapeError,
)
from agewell.workers.operations.poisson import fpie
from agewell.workers.operations.poisson.blend import poisson_blend
from agewell.workers.operations.poisson.multigrid import prolong, restrict
from tests.oracles.direct_poisson import direct_poisson
from tests.support.paths import PHOTOS, ROOT
from tests.support.python_process import run_python

GRADIENTS = ("src", "max", "avg")


def picture(seed, height, width):
    """A slope, soft blobs and some noise: wide and fine detail, as a photograph has."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    slope = (x[..., None] * rng.uniform(-120, 120, 3)) + (y[..., None] * rng.uniform(-120, 120, 3))
    blobs = cv2.GaussianBlur(rng.standard_normal((height, width, 3)), (0, 0), 6) * 400
    noise = rng.standard_normal((height, width, 3)) * 12
    return np.clip(128 + slope + blobs + noise, 0, 255).astype(np.uint8)


def circle(height, width, fill=0.47):
    y, x = np.mgrid[:height, :width]
    radius = fill * min(height, width)
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    return np.where(inside, 255, 0).astype(np.uint8)


def irregular(height, width, seed=5, scale=8.0):
    """Many separate pieces with ragged outlines, and holes in them."""
    noise = np.random.default_rng(seed).standard_normal((height, width))
    return np.where(cv2.GaussianBlur(noise, (0, 0), scale) > 0, 200, 0).astype(np.uint8)


def ring(height, width):
    return circle(height, width) - circle(height, width, 0.15)


def spiral(height, width):
    mask = np.zeros((height, width), np.uint8)
    angle = np.linspace(0, 6 * np.pi, 4000)
    radius = 0.46 * min(height, width) * angle / angle.max()
    points = np.stack([width / 2 + radius * np.cos(angle), height / 2 + radius * np.sin(angle)], 1)
    return cv2.polylines(mask, [points.astype(np.int32)], False, 255, 3)


def pierced(height, width):
    """Every fifth pixel of every fifth row keeps the destination's colour."""
    mask = np.full((height, width), 255, np.uint8)
    mask[::5, ::5] = 0
    return mask


def hairs(height, width):
    mask = np.zeros((height, width), np.uint8)
    mask[:, 3::4] = 255
    return mask


def full(height, width):
    return np.full((height, width), 255, np.uint8)


MASKS = (circle, irregular, ring, spiral, pierced, hairs, full)


def small(**changes):
    """Blend 40x30 pictures with a circle. Keywords change the arguments."""
    usual = {
        "source": picture(1, 30, 40),
        "mask": circle(30, 40),
        "destination": picture(2, 30, 40),
        "backend": "numpy",
    }
    return poisson_blend(**usual | changes)


def placed(source, mask, destination, on_source, on_destination, **more):
    """Blend with the mask at these points of the source and of the destination."""
    return poisson_blend(
        source,
        mask,
        destination,
        mask_on_source=on_source,
        mask_on_destination=on_destination,
        **more,
    )


def assert_same_as_direct(result, *system):
    wanted = np.clip(direct_poisson(*system), 0, 255)
    assert np.abs(result.image - wanted).max() <= 1
    assert result.converged


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("mask", MASKS)
def test_agrees_with_a_direct_solve_on_every_kind_of_mask(mask, gradient):
    source, destination = picture(1, 120, 150), picture(2, 120, 150)
    selected = mask(120, 150)
    result = poisson_blend(source, selected, destination, gradient=gradient)
    assert_same_as_direct(result, source, selected, destination, gradient)


@pytest.mark.parametrize(("height", "width"), [(3, 3), (4, 7), (33, 64), (5, 300), (257, 255)])
def test_agrees_with_a_direct_solve_at_every_size(height, width):
    source, destination = picture(3, height, width), picture(4, height, width)
    result = poisson_blend(source, full(height, width), destination)
    assert_same_as_direct(result, source, full(height, width), destination)


@pytest.mark.parametrize(
    ("on_source", "on_destination"),
    [((0, 0), (30, 20)), ((20, 30), (-25, -10)), ((-3, 10), (90, 75)), ((5, 5), (-40, 60))],
)
def test_agrees_with_a_direct_solve_at_offsets_and_edges(on_source, on_destination):
    source, mask, destination = picture(5, 120, 110), circle(80, 70), picture(6, 100, 120)
    result = placed(source, mask, destination, on_source, on_destination)
    assert_same_as_direct(result, source, mask, destination, "src", on_source, on_destination)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_agrees_with_a_direct_solve_on_photographs(gradient):
    photos = [PHOTOS / "brown-architecture.jpg", PHOTOS / "morskie-oko.jpg"]
    source, destination = (cv2.imread(str(photo))[100:356, 200:456] for photo in photos)
    result = poisson_blend(source, circle(256, 256), destination, gradient=gradient)
    assert_same_as_direct(result, source, circle(256, 256), destination, gradient)


def test_agrees_on_black_and_white_if_colours_leave_the_range():
    source, destination = picture(1, 60, 60), np.zeros((60, 60, 3), np.uint8)
    result = poisson_blend(source, circle(60, 60), destination)
    assert_same_as_direct(result, source, circle(60, 60), destination)
    assert result.image.min() == 0


def test_agrees_with_fpie_iterated_to_the_end():
    from fpie.process import EquProcessor

    source, destination, mask = picture(1, 16, 18), picture(2, 16, 18), irregular(16, 18, scale=3)
    for gradient in GRADIENTS:
        processor = EquProcessor(gradient, "numpy")
        processor.reset(
            source.astype(np.float32), mask, destination.astype(np.float32), (0, 0), (0, 0)
        )
        wanted, _ = processor.step(2000)
        ours = poisson_blend(source, mask, destination, gradient=gradient, backend="numpy")
        assert np.abs(ours.image - wanted).max() <= 1


def test_numba_and_numpy_agree_and_each_repeats_its_bytes():
    images = {backend: small(backend=backend).image for backend in ("numpy", "numba")}
    assert np.abs(images["numpy"].astype(int) - images["numba"]).max() <= 1
    for backend, image in images.items():
        assert np.array_equal(image, small(backend=backend).image)


def test_threads_side_by_side_agree_with_one_alone():
    alone = small(backend="numba").image
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: small(backend="numba").image, range(12)))
    assert all(np.array_equal(image, alone) for image in together)


def test_pixels_outside_the_mask_and_the_inputs_stay_as_they_were():
    source, mask, destination = picture(1, 50, 60), irregular(50, 60), picture(2, 50, 60)
    copies = source.copy(), mask.copy(), destination.copy()
    image = poisson_blend(source, mask, destination, backend="numpy").image
    assert np.array_equal(image[mask < 128], destination[mask < 128])
    assert not np.array_equal(image, destination)
    for before, after in zip(copies, (source, mask, destination), strict=True):
        assert np.array_equal(before, after)


def test_an_image_blended_into_itself_comes_back_unchanged():
    destination = picture(2, 30, 40)
    result = small(source=destination, destination=destination)
    assert np.array_equal(result.image, destination)
    assert (result.residual, result.converged) == (0, True)


def test_a_shift_of_brightness_in_the_source_makes_no_difference():
    dark = picture(1, 30, 40) // 2
    assert np.array_equal(small(source=dark).image, small(source=dark + np.uint8(100)).image)


def test_127_is_not_selected_and_128_is():
    assert small(mask=np.full((30, 40), 128, np.uint8)).converged
    with pytest.raises(MaskError, match="mask: selects nothing: its largest value is 127, of 128"):
        small(mask=np.full((30, 40), 127, np.uint8))


def test_the_result_says_how_it_was_reached():
    result = small(backend="numpy")
    assert result.backend == "numpy"
    assert result.iterations % 4 == 0
    assert 0 < result.residual <= 0.25
    assert result.levels > 2


def test_running_out_of_iterations_is_told_and_not_raised():
    result = small(max_iterations=1)
    assert not result.converged
    assert result.residual > 0.25
    assert 0 < result.iterations < small().iterations


def test_a_mask_of_another_size_than_the_source_needs_a_position():
    with pytest.raises(ShapeError, match=r"mask is 20x10 and the source 40x30: .*mask_on_source"):
        small(mask=full(10, 20))


@pytest.mark.parametrize("at", [(-2, 0), (0, -1), (21, 0), (0, 21), (10**12, 0)])
def test_a_mask_that_selects_a_pixel_beside_the_source_is_refused_with_numbers(at):
    with pytest.raises(ShapeError, match=r"selects x -?\d+\.\.\d+, y -?\d+\.\.\d+, but.* 40x30"):
        small(mask=full(10, 20), mask_on_source=at)


def test_unselected_pixels_of_a_mask_may_lie_beside_the_source():
    mask = np.zeros((60, 60), np.uint8)
    mask[20:30, 20:30] = 255
    assert small(mask=mask, mask_on_source=(-15, -15)).converged


@pytest.mark.parametrize("at", [(40, 0), (0, 30), (-40, 0), (0, -30), (10**12, -(10**12))])
def test_mask_beside_the_destination_is_refused_with_both_places(at):
    where = rf"x {at[0] + 0}\.\.{at[0] + 39}, y {at[1]}\.\.{at[1] + 29}, and .* 40x30"
    with pytest.raises(MaskError, match=f"selects nothing on the destination: .*{where}"):
        small(mask=full(30, 40), mask_on_destination=at)


@pytest.mark.parametrize("line", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]])
def test_a_mask_of_border_pixels_alone_cannot_be_blended(line):
    mask = np.zeros((30, 40), np.uint8)
    mask[line] = 255
    with pytest.raises(MaskError, match="only the outermost pixels of the source or of the dest"):
        small(mask=mask)


def test_the_border_of_the_destination_stays_as_it_was():
    destination = picture(2, 30, 40)
    image = small(mask=full(30, 40)).image
    for line in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.array_equal(image[line], destination[line])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gradient": "mix"}, "gradient is 'mix'; allowed: src, max, avg"),
        ({"tolerance": 0.0}, "tolerance is 0.0; allowed: 0.001..64 gray levels"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": float("inf")}, "tolerance is inf"),
        ({"max_iterations": 0}, "max_iterations is 0; allowed: 1..1000000"),
        ({"threads": 0}, "threads is 0"),
        ({"backend": "cuda"}, "backend is 'cuda'; allowed: auto, numpy, numba, taichi-cpu"),
    ],
)
def test_bad_parameter_is_named_with_the_allowed_values(changes, text):
    with pytest.raises(ParameterError, match=text):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask": circle(30, 40) > 0}, r"mask must be \(height, width\) uint8; it is .* bool"),
        ({"mask": picture(1, 30, 40)}, "mask must be"),
        ({"source": picture(1, 30, 40)[:, :, 0]}, r"source must be \(height, width, 3\) uint8"),
        ({"destination": np.zeros((30, 40, 4), np.uint8)}, r"destination .*\(30, 40, 4\) uint8"),
        ({"source": np.zeros((30, 40, 3), np.uint16)}, r"source .*\(30, 40, 3\) uint16"),
    ],
)
def test_an_array_of_another_kind_is_refused_by_name(changes, text):
    with pytest.raises(ShapeError, match=text):
        small(**changes)


def test_a_job_can_be_cancelled_between_any_two_slices():
    calls = []
    small(checkpoint=lambda: calls.append(1))
    assert len(calls) > 20

    for last in (1, 2, len(calls) // 2, len(calls)):
        left = iter(range(last - 1))

        def cancel(left=left):
            if next(left, None) is None:
                raise CancelledError

        with pytest.raises(CancelledError):
            small(checkpoint=cancel)


def test_auto_skips_missing_and_wrong_backends(monkeypatch):
    def missing(threads):
        raise ImportError("no numba")

    monkeypatch.setattr(fpie, "_faults", {})
    monkeypatch.setitem(fpie._SWEEPS, "numba", missing)
    assert small(backend="auto").backend == "numpy"
    with pytest.raises(ParameterError, match=r"'numba', not usable here \(ImportError: no numba\)"):
        small(backend="numba")

    monkeypatch.setattr(fpie, "_faults", {})
    monkeypatch.setitem(fpie._SWEEPS, "numpy", lambda _: lambda neighbours, x, b, n: x)
    with pytest.raises(BackendError, match=r"none is usable.*wrong by 13"):
        small(backend="auto")


def test_memory_stays_flat_over_many_blends():
    arrays = picture(1, 200, 200), circle(200, 200), picture(2, 200, 200)
    for _ in range(5):
        poisson_blend(*arrays, backend="numba")
    before = psutil.Process().memory_info().rss
    for _ in range(50):
        poisson_blend(*arrays, backend="numba")
    assert psutil.Process().memory_info().rss - before < 10 * 2**20


offsets = st.tuples(st.integers(-25, 25), st.integers(-25, 25))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0, 1),
    on_source=st.none() | offsets,
    on_destination=offsets,
)
def test_no_offset_raises_anything_unforeseen_or_changes_a_pixel_outside(
    seed, share, on_source, on_destination
):
    mask = np.where(np.random.default_rng(seed).random((9, 11)) < share, 255, 0).astype(np.uint8)
    source = picture(seed, *((9, 11) if on_source is None else (20, 17)))
    destination = picture(seed + 1, 14, 19)
    try:
        result = placed(source, mask, destination, on_source, on_destination, backend="numpy")
    except (MaskError, ShapeError):
        return
    outside = np.ones(destination.shape[:2], bool)
    for y, x in np.argwhere(mask) + np.array(on_destination)[::-1]:
        if 0 < y < 13 and 0 < x < 18:
            outside[y, x] = False
    assert np.array_equal(result.image[outside], destination[outside])
    at = on_source or (0, 0)
    assert_same_as_direct(result, source, mask, destination, "src", at, on_destination)


@given(height=st.integers(3, 30), width=st.integers(3, 30), seed=st.integers(0, 1000))
def test_restriction_is_the_transpose_of_prolongation(height, width, seed):
    rng = np.random.default_rng(seed)
    fine = rng.standard_normal((height, width, 1)).astype(np.float32)
    coarse = rng.standard_normal(fine[::2, ::2].shape).astype(np.float32)
    there, back = (fine * prolong(coarse, fine.shape)).sum(), (restrict(fine) * coarse).sum()
    assert there == pytest.approx(back, rel=1e-3, abs=1e-3)


TAICHI = """
import os, sys, threading
import numpy as np
from agewell.shared.errors import BackendError
from tests.unit.operations.test_poisson import circle, picture, small
from agewell.workers.operations.poisson.blend import poisson_blend

wanted = small().image.astype(int)
assert abs(wanted - small(backend="taichi-cpu").image).max() <= 1
large = picture(1, 300, 300), circle(300, 300), picture(2, 300, 300)  # its fields have to grow
assert poisson_blend(*large, backend="taichi-cpu").converged
images = []
threads = [
    threading.Thread(target=lambda: images.append(small(backend="taichi-cpu").image))
    for _ in range(4)
]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(images) == 4 and all(abs(wanted - image).max() <= 1 for image in images)
child = os.fork()
if not child:
    try:
        assert small(backend="auto").backend == "numba"
        small(backend="taichi-cpu")
    except Exception as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
os.write(2, b"done")
"""


def test_taichi_is_quiet_shared_by_threads_and_refused_after_a_fork(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CACHE_HOME", None)
    done = run_python(TAICHI, tmp_path, environment, timeout_s=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "done")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_thread_is_left_behind():
    before = threading.active_count()
    small(backend="numba")
    assert threading.active_count() == before
