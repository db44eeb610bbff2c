"""The oracle for Poisson blending: the same equations, solved directly in float64.

Written from the paper (Pérez, Gangnet, Blake 2003, equations 7, 11 and 12) pixel pair by pixel
pair, for the colours themselves and with explicit boundary values; it shares no code with
``agewell.workers.operations``, which solves for a correction.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg


def direct_poisson(source, mask, destination, gradient="src", on_source=(0, 0), on_dest=(0, 0)):
    """Blend by a sparse LU factorisation.

    Returns:
        (H, W, 3) float64, not rounded and not cut to 0..255.
    """
    source, result = source.astype(np.float64), destination.astype(np.float64)
    before = result.copy()
    # Whole images of destination size: the source moved to where it is pasted, NaN elsewhere.
    moved = np.full(before.shape, np.nan)
    shift_x, shift_y = on_dest[0] - on_source[0], on_dest[1] - on_source[1]
    region = np.zeros(before.shape[:2], bool)
    for y, x in np.argwhere(mask >= 128):
        target_y, target_x = y + on_dest[1], x + on_dest[0]
        source_y, source_x = y + on_source[1], x + on_source[0]
        if not (0 < target_y < before.shape[0] - 1 and 0 < target_x < before.shape[1] - 1):
            continue
        if not (0 < source_y < source.shape[0] - 1 and 0 < source_x < source.shape[1] - 1):
            continue
        region[target_y, target_x] = True
    top, left = max(0, shift_y), max(0, shift_x)
    bottom = min(before.shape[0], source.shape[0] + shift_y)
    right = min(before.shape[1], source.shape[1] + shift_x)
    moved[top:bottom, left:right] = source[
        top - shift_y : bottom - shift_y, left - shift_x : right - shift_x
    ]

    ys, xs = np.nonzero(region)
    unknown = np.full(region.shape, -1)
    unknown[ys, xs] = np.arange(len(ys))
    matrix_rows, matrix_columns = [], []
    right_side = np.zeros((len(ys), 3))
    for step_y, step_x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        ny, nx = ys + step_y, xs + step_x
        of_source = moved[ys, xs] - moved[ny, nx]
        of_destination = before[ys, xs] - before[ny, nx]
        right_side += _guide(of_source, of_destination, gradient)
        inner = region[ny, nx]
        right_side[~inner] += before[ny, nx][~inner]
        matrix_rows.append(np.flatnonzero(inner))
        matrix_columns.append(unknown[ny, nx][inner])
    rows, columns = np.concatenate(matrix_rows), np.concatenate(matrix_columns)
    off_diagonal = scipy.sparse.coo_array(
        (-np.ones(len(rows)), (rows, columns)), shape=(len(ys), len(ys))
    )
    matrix = (4 * scipy.sparse.eye_array(len(ys)) + off_diagonal).tocsc()
    result[ys, xs] = scipy.sparse.linalg.splu(matrix).solve(right_side)
    return result


def _guide(of_source, of_destination, gradient):
    if gradient == "src":
        return of_source
    if gradient == "avg":
        return (of_source + of_destination) / 2
    stronger = np.abs(of_source) >= np.abs(of_destination)
    return np.where(stronger, of_source, of_destination)
