"""Unpack TIFF's LZW and PackBits without reading or writing outside the buffers.

Numba compiles the functions at the first call and checks every index. The LZW decoder of
imagecodecs reads and writes outside its buffers if the data is damaged, and crashes.

Source: TIFF 6.0, sections 9 and 13.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit

_CLEAR, _END, _FIRST = 256, 257, 258
_MOST_CODES, _LEAST_BITS, _MOST_BITS = 4096, 9, 12
_INVALID = -1

_Bytes = npt.NDArray[np.uint8]


def lzw(data: bytes, most: int) -> bytes:
    """Unpack LZW up to its end code, the end of the data, or `most` bytes.

    Raises:
        ValueError: a code is not in the table.
    """
    return _made(_lzw, data, most, "an LZW code that does not exist yet")


def packbits(data: bytes, most: int) -> bytes:
    """Unpack PackBits up to the end of the data, or `most` bytes.

    Raises:
        ValueError: the data ends within a run.
    """
    return _made(_packbits, data, most, "a run that the end of the data cuts")


def _made(unpack: Callable[[_Bytes, _Bytes], int], data: bytes, most: int, problem: str) -> bytes:
    room = np.empty(most, np.uint8)
    made = unpack(np.frombuffer(data, np.uint8), room)
    if made == _INVALID:
        raise ValueError(problem)
    return room[:made].tobytes()


@njit(nogil=True, boundscheck=True)
def _lzw(data: _Bytes, room: _Bytes) -> int:
    """Fill the room and return the number of bytes, or ``_INVALID``.

    Each code stands for earlier output: the string of the code before, and one byte more.
    """
    starts, lengths = np.zeros(_MOST_CODES, np.int64), np.zeros(_MOST_CODES, np.int64)
    codes, bits, made, last, last_length = _FIRST, _LEAST_BITS, 0, 0, 0
    window = held = 0
    for byte in data:
        window, held = (window << 8 | byte) & 0xFFFFFF, held + 8
        if held < bits:
            continue
        held -= bits
        code = window >> held & ((1 << bits) - 1)
        if code == _END:
            return made
        if code == _CLEAR:
            codes, bits, last_length = _FIRST, _LEAST_BITS, 0
            continue
        start, length = made, 1
        if code > _END:
            if code < codes:
                start, length = starts[code], lengths[code]
            elif code == codes and last_length > 0:
                start, length = last, last_length + 1
            else:
                return _INVALID
        length = min(length, len(room) - made)
        for offset in range(length):
            room[made + offset] = code if code < _CLEAR else room[start + offset]
        if last_length > 0 and codes < _MOST_CODES:
            starts[codes], lengths[codes] = last, last_length + 1
            codes += 1
        last, last_length, made = made, length, made + length
        if made == len(room):
            return made
        if codes >= (1 << bits) - 1 and bits < _MOST_BITS:
            bits += 1
    return made


@njit(nogil=True, boundscheck=True)
def _packbits(data: _Bytes, room: _Bytes) -> int:
    """Fill the room and return the number of bytes, or ``_INVALID``."""
    position = made = 0
    while position < len(data) and made < len(room):
        control = data[position]
        position += 1
        if control == 128:  # no operation
            continue
        length = control + 1 if control < 128 else 257 - control
        used = length if control < 128 else 1
        if position + used > len(data):
            return _INVALID
        for offset in range(min(length, len(room) - made)):
            room[made + offset] = data[position + (offset if control < 128 else 0)]
        position += used
        made += min(length, len(room) - made)
    return made
