"""Escaping of untrusted text, so that it is safe to print in terminals, logs and names."""

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, escape sequences among them
    "\u2028\u2029"  # line separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # characters that reverse the text after them
    "\ufeff\ud800-\udfff]"  # byte order marks, and bytes that are not UTF-8
)


def printable(text: str) -> str:
    r"""Return the text with control characters as escapes, such as `\n` for a line feed.

    Text in any script stays as it is. A byte of a file name that is not UTF-8 becomes `\xe9`.
    """
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that it cannot decode (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    )
