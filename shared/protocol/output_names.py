"""File names of results, made from the names of images and short enough for any file system."""

import hashlib
from pathlib import PurePosixPath
from typing import Final

NAME_MAX_CHARACTERS: Final = 1024
PART_MAX_BYTES: Final = 255
"""The longest name of one file or folder on Linux and macOS, in bytes."""

_ENDING_MAX_BYTES = 64


def output_name(name: str, made_by: str, suffix: str) -> str:
    """Name a result: for `trip/cat.jpg` made by `hsv`, it is `trip/cat.hsv.png`."""
    path = PurePosixPath(name)
    return fit(str(path.parent / f"{path.stem or 'image'}.{made_by}.{suffix}"))


def extra_name(name: str, suffix: str) -> str:
    """Name a further file of a result: `cat.unet.png` with `.up.npz` gives `cat.unet.up.npz`."""
    path = PurePosixPath(name)
    return fit(str(path.parent / path.stem) + suffix)


def fit(name: str) -> str:
    """Shorten a name that is too long for file systems. A hash keeps shortened names distinct.

    Args:
        name: a file's name with its folders.

    Returns:
        A name of at most 1,024 characters, whose parts have at most 255 bytes of UTF-8 each.
    """
    if len(name) <= PART_MAX_BYTES // 4:
        return name  # the common case: a character has at most four bytes
    parts = [_fit_part(part) for part in PurePosixPath(name).parts]
    fitted = str(PurePosixPath(*parts))
    if len(fitted) <= NAME_MAX_CHARACTERS:
        return fitted
    tail = fitted[-(NAME_MAX_CHARACTERS - 16) :].partition("/")[2]
    return f"~{_hash(name)}/{tail}"


def _fit_part(part: str) -> str:
    if len(_utf8(part)) <= PART_MAX_BYTES:
        return part
    ending = "".join(PurePosixPath(part).suffixes[-3:])
    if len(_utf8(ending)) > _ENDING_MAX_BYTES:
        ending = _utf8(ending)[-_ENDING_MAX_BYTES:].decode(errors="ignore")
    tail = f"~{_hash(part)}{ending}"
    return _utf8(part)[: PART_MAX_BYTES - len(_utf8(tail))].decode(errors="ignore") + tail


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _hash(text: str) -> str:
    return hashlib.blake2b(_utf8(text), digest_size=4).hexdigest()
