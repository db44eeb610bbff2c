"""Non-maximum suppression, against OpenCV and against a plain loop."""

import time

import cv2
import numpy as np
import pytest

from agewell.workers.models.nms import MAX_CANDIDATES, nms

EVERYTHING = 10**6


def plain(boxes, scores, classes, iou, limit):
    """The definition, box by box."""
    kept = []
    for each in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        rivals = [other for other in kept if classes is None or classes[other] == classes[each]]
        if all(overlap(boxes[each], boxes[other]) <= iou for other in rivals):
            kept.append(each)
    return kept[:limit]


def overlap(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0) * max(height, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (first, second)]
    return common / (sum(areas) - common)


def case(rng, most, *, whole):
    """Random boxes. Whole numbers give many equal scores, and overlaps equal to the threshold."""
    count = int(rng.integers(0, most))
    if whole:
        corners, sizes = rng.integers(0, 30, (count, 2)), rng.integers(1, 20, (count, 2))
        scores = rng.integers(1, 5, count) / 4
    else:
        corners, sizes = rng.random((count, 2)) * 30, rng.random((count, 2)) * 20 + 0.1
        scores = rng.random(count) * 0.9 + 0.1
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float64)
    return boxes, scores, rng.integers(0, 3, count)


@pytest.mark.parametrize("whole", [True, False])
def test_it_agrees_with_a_plain_loop(whole):
    rng = np.random.default_rng(0)
    for number in range(600):
        boxes, scores, classes = case(rng, 400 if number % 50 == 0 else 40, whole=whole)
        iou, limit = rng.choice([0.0, 0.25, 0.45, 0.5, 0.7, 0.99]), int(rng.integers(1, 60))
        for groups in (None, classes):
            expected = plain(boxes, scores, groups, iou, limit)
            assert nms(boxes, scores, groups, iou, limit).tolist() == expected


def of_opencv(boxes, scores, iou):
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return np.ravel(cv2.dnn.NMSBoxes(sized, scores, 0.0, iou)).astype(int)


@pytest.mark.parametrize("whole", [True, False])
def test_it_agrees_with_opencv(whole):
    rng = np.random.default_rng(1)
    for _ in range(2000):
        boxes, scores, classes = case(rng, 80, whole=whole)
        iou, scores = float(rng.choice([0.3, 0.5, 0.6])), scores.astype(np.float32)
        agnostic = of_opencv(boxes, scores, iou)
        assert nms(boxes, scores, None, iou, EVERYTHING).tolist() == agnostic.tolist()
        members = [np.flatnonzero(classes == each) for each in range(3)]
        by_class = [each[of_opencv(boxes[each], scores[each], iou)] for each in members]
        found = nms(boxes, scores, classes, iou, EVERYTHING)
        assert sorted(found) == sorted(np.concatenate(by_class))


def test_of_equal_boxes_and_scores_the_first_is_kept():
    boxes = np.tile([10.0, 10, 20, 20], (500, 1))
    assert nms(boxes, np.ones(500), None, 0.5, 10).tolist() == [0]
    assert nms(boxes, np.ones(500), np.arange(500) % 3, 0.5, 10).tolist() == [0, 1, 2]
    assert nms(boxes, np.ones(500), None, 1.0, 5).tolist() == [0, 1, 2, 3, 4]


def test_boxes_without_area_or_with_wild_numbers_are_dropped():
    nan, inf = np.nan, np.inf
    boxes = [
        [0, 0, 10, 10],
        [0, 0, nan, 10],
        [0, 0, inf, 10],
        [-inf, 0, 10, 10],
        [5, 5, 5, 9],  # no width
        [9, 9, 5, 5],  # turned round
        [20, 20, 30, 30],
        [40, 40, 50, 50],
        [60, 60, 70, 70],
        [-1e300, -1e300, 1e300, 1e300],
    ]
    scores = [0.5, 0.9, 0.9, 0.9, 0.9, 0.9, nan, inf, 0.6, 0.1]
    with np.errstate(all="raise"):
        assert nms(np.array(boxes), np.array(scores), None, 0.5, 10).tolist() == [8, 0, 9]


def test_nothing_gives_nothing():
    assert nms(np.empty((0, 4)), np.empty(0), None, 0.5, 10).tolist() == []
    assert nms(np.empty((0, 4)), np.empty(0), np.empty(0, int), 1.0, 10).tolist() == []


def test_boxes_that_are_far_too_many_are_cut_by_score():
    count = MAX_CANDIDATES + 100
    corners = np.arange(count)[:, None] * 10.0
    boxes = np.concatenate([corners, corners, corners + 5, corners + 5], axis=1)
    scores = np.linspace(0, 1, count)
    assert nms(boxes, scores, None, 1.0, EVERYTHING).tolist() == [*range(count - 1, 99, -1)]


@pytest.mark.alone
def test_the_boxes_of_a_yolo_take_milliseconds():
    rng = np.random.default_rng(2)
    corners = rng.random((8400, 2)) * 600
    boxes = np.concatenate([corners, corners + rng.random((8400, 2)) * 60 + 5], axis=1)
    scores, classes = rng.random(8400), rng.integers(0, 80, 8400)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        assert len(nms(boxes, scores, classes, 0.45, 300)) == 300
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.01
