"""Decode the fax compression of black and white pictures: CCITT 1-D, Group 3 and Group 4.

The decoders of libtiff and imagecodecs continue after an error: they fill the rest of a row, or of
the picture, with white. This one accepts only complete rows of valid code words.

A fax picture has up to one code word per pixel, and Python alone needs a minute for 50 million of
them. So Numba compiles the decoder at the first call, which takes seconds. Import this module only
if there is such a picture.

A row is stored as its changes: the columns at which the colour changes, starting with white at the
left. Changes with an even index turn to black.

Sources: ITU-T T.4 (2003), section 4; ITU-T T.6 (1988), section 2; TIFF 6.0, sections 10 and 11.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from agewell.workers.imaging.tiff import fax_codes
from agewell.workers.imaging.tiff.fax_codes import (
    HORIZONTAL,
    LENGTH_BITS,
    MODE_BITS,
    PASS,
    RUN_BITS,
    UNCOMPRESSED,
)

RLE, GROUP_3, GROUP_3_2D, GROUP_4 = 0, 1, 2, 3
"""The four schemes.

RLE: rows of runs. GROUP_3: rows of runs, with end-of-line codes. GROUP_3_2D: the same, with some
rows as differences to the row above. GROUP_4: all rows as differences.
"""

_ENDS_EARLY, _BAD_CODE, _WRONG_LENGTH, _NO_END_OF_LINE, _UNCOMPRESSED = -1, -2, -3, -4, -5
_PROBLEMS = {
    _ENDS_EARLY: "truncated: its fax codes end within row {}",
    _BAD_CODE: "damaged: an invalid fax code in row {}",
    _WRONG_LENGTH: "damaged: row {} of the fax codes is too long",
    _NO_END_OF_LINE: "damaged: row {} has no end-of-line code before it",
    _UNCOMPRESSED: "row {} uses the uncompressed mode of fax codes, which is not read",
}
_PADDING = 8  # bytes of zeros after the data, because the decoder looks a few bits ahead
_EOL_ZEROS = 11  # an end-of-line code is this many zeros or more, and a one
_LENGTH = (1 << LENGTH_BITS) - 1

_Bits = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[np.int32]


def decode(data: bytes, width: int, rows: int, scheme: int, row_alignment: int) -> _Bits:
    """Decode rows of a fax picture.

    Args:
        data: the code words, the highest bit of a byte first.
        width: pixels of a row.
        rows: the number of rows.
        scheme: RLE, GROUP_3, GROUP_3_2D or GROUP_4.
        row_alignment: rows begin at a multiple of this number of bits. Only RLE uses it.

    Returns:
        (rows, width) uint8; 1 is black and 0 is white.

    Raises:
        ValueError: the data ends early, a code word is invalid, or a row is too long.
    """
    padded = np.frombuffer(data + bytes(_PADDING), np.uint8)
    picture = np.zeros((rows, width), np.uint8)
    problem, row = _decode(
        padded, len(data) * 8, scheme, row_alignment, fax_codes.RUNS, fax_codes.MODES, picture
    )
    if problem:
        raise ValueError(_PROBLEMS[problem].format(row + 1))
    return picture


@njit(nogil=True, boundscheck=True)
def _decode(
    data: _Bits,
    end: int,
    scheme: int,
    row_alignment: int,
    runs: _Numbers,
    modes: _Numbers,
    picture: _Bits,
) -> Any:
    """Fill the picture. Returns a problem and its row, or 0 and the number of rows."""
    rows, width = picture.shape
    above, changes = np.full(width + 4, width), np.full(width + 4, width)
    position = 0
    for row in range(rows):
        position, by_difference = _row_start(data, end, position, scheme, row_alignment)
        if position < 0:
            return position, row
        if by_difference:
            count, position = _differences(data, end, position, width, runs, modes, above, changes)
        else:
            count, position = _runs(data, end, position, width, runs, changes)
        if count < 0:
            return count, row
        changes[count : count + 3] = width
        for start in range(0, count, 2):
            picture[row, changes[start] : changes[start + 1]] = 1
        above, changes = changes, above
    return 0, rows


@njit(nogil=True, boundscheck=True)
def _row_start(data: _Bits, end: int, position: int, scheme: int, row_alignment: int) -> Any:
    """Find the first code word of a row.

    Returns its position, or a problem, and if the row is coded as differences.
    """
    if scheme == RLE:
        return (position + row_alignment - 1) // row_alignment * row_alignment, False
    if scheme == GROUP_4:
        return position, True
    if _next(data, position, _EOL_ZEROS) == 0:
        position += _EOL_ZEROS
        while position < end and _next(data, position, 1) == 0:
            position += 1
        position += 1
    elif scheme == GROUP_3_2D:
        return _NO_END_OF_LINE, False
    if position >= end:
        return _ENDS_EARLY, False
    if scheme == GROUP_3:
        return position, False
    return position + 1, _next(data, position, 1) == 0


@njit(nogil=True, boundscheck=True)
def _runs(
    data: _Bits, end: int, position: int, width: int, runs: _Numbers, changes: _Numbers
) -> Any:
    """Read a row of runs.

    Returns the number of changes, or a problem, and the position after the row.
    """
    column = colour = count = 0
    while column < width:
        run, position = _run(data, end, position, runs[colour])
        if run < 0:
            return run, position
        column += run
        if column > width:
            return _WRONG_LENGTH, position
        count = _add(changes, count, column)
        colour ^= 1
    return count, position


@njit(nogil=True, boundscheck=True)
def _differences(
    data: _Bits,
    end: int,
    position: int,
    width: int,
    runs: _Numbers,
    modes: _Numbers,
    above: _Numbers,
    changes: _Numbers,
) -> Any:
    """Read a row of differences to the row above.

    Returns the number of changes, or a problem, and the position after the row. a0, b1 and b2 are
    names of T.6: the last change of this row, and the next two changes of the row above.
    """
    a0, count, b = -1, 0, 0
    while a0 < width:
        entry = modes[_next(data, position, MODE_BITS)]
        position += entry & _LENGTH
        mode = entry >> LENGTH_BITS
        if entry == 0 or position > end:
            return _problem(end, position, MODE_BITS), position
        b = _b1(above, b, a0, width, count & 1)
        if mode == PASS:
            a0 = above[b + 1]
        elif mode == HORIZONTAL:
            for colour in (count & 1, ~count & 1):
                run, position = _run(data, end, position, runs[colour])
                a0 = max(a0, 0) + run
                if run < 0 or a0 > width:
                    return run if run < 0 else _WRONG_LENGTH, position
                count = _add(changes, count, a0)
        elif mode == UNCOMPRESSED:
            return _UNCOMPRESSED, position
        else:
            a1 = above[b] + mode - 3
            if a1 <= a0 or a1 > width:
                return _WRONG_LENGTH, position
            count, a0 = _add(changes, count, a1), a1
    return count, position


@njit(nogil=True, boundscheck=True)
def _b1(above: _Numbers, b: int, a0: int, width: int, colour: int) -> int:
    """Find b1: the first change in the row above, right of a0, that ends the colour of a0."""
    while b > 0 and above[b - 1] > a0:
        b -= 1
    while above[b] <= a0 and above[b] < width:
        b += 1
    return b + ((b ^ colour) & 1)


@njit(nogil=True, boundscheck=True)
def _run(data: _Bits, end: int, position: int, table: _Numbers) -> Any:
    """Read a run of one or more code words.

    Returns its length, or a problem, and the position after it.
    """
    length = 0
    while True:
        entry = table[_next(data, position, RUN_BITS)]
        position += entry & _LENGTH
        if entry == 0 or position > end:
            return _problem(end, position, RUN_BITS), position
        length += entry >> LENGTH_BITS
        if entry >> LENGTH_BITS < 64:
            return length, position


@njit(nogil=True, boundscheck=True)
def _problem(end: int, position: int, bits: int) -> int:
    """Return the problem of a code word that is not in its table or ends after the data."""
    return _ENDS_EARLY if position + bits > end else _BAD_CODE


@njit(nogil=True, boundscheck=True)
def _add(changes: _Numbers, count: int, column: int) -> int:
    """Add a change and return the new number of changes.

    A change at the same column as the last one cancels it.
    """
    if count > 0 and changes[count - 1] == column:
        return count - 1
    changes[count] = column
    return count + 1


@njit(nogil=True, boundscheck=True)
def _next(data: _Bits, position: int, count: int) -> int:
    """Return the next bits as a number."""
    at, number = position >> 3, 0
    for byte in data[at : at + 4]:
        number = number << 8 | byte
    return (number >> (32 - (position & 7) - count)) & ((1 << count) - 1)
