"""The ways in which programs write a picture's orientation, and their meaning."""

import binascii
import struct
import zlib

import numpy as np
from PIL import Image as Pillow

from tests.oracles.png_writer import Chunk

_UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT, 3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM, 5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270, 7: Pillow.Transpose.TRANSVERSE, 8: Pillow.Transpose.ROTATE_90,
}  # fmt: skip


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, 4) as Pillow turns it."""
    way = _UPRIGHT.get(orientation)
    return np.asarray(Pillow.fromarray(stored).transpose(way)) if way is not None else stored


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block of this one tag, without a prefix."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def exif_without_orientation() -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x128, 3, 1, 2, 0, 0)  # a resolution's unit


def xmp(orientation: int, form: str = "attribute") -> bytes:
    """An XMP packet. Adobe's programs write an attribute, ExifTool an element."""
    pattern = {
        "attribute": "<rdf:Description rdf:about='' {ns} tiff:Orientation=\"{n}\"/>",
        "apostrophes": "<rdf:Description rdf:about='' {ns} tiff:Orientation='{n}'/>",
        "element": "<rdf:Description {ns}>\n <tiff:Orientation>{n}</tiff:Orientation>"
        "</rdf:Description>",
        "spaces": "<rdf:Description {ns}><tiff:Orientation>\n{n} </tiff:Orientation>"
        "</rdf:Description>",
    }[form]
    body = pattern.format(ns="xmlns:tiff='http://ns.adobe.com/tiff/1.0/'", n=orientation)
    return (
        "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>"
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        f"{body}</rdf:RDF></x:xmpmeta>{' ' * 2000}<?xpacket end='w'?>"
    ).encode()


def raw_profile(kind: str, content: bytes) -> bytes:
    """A profile as ImageMagick and ExifTool write it into a text: name, length, hexadecimal."""
    digits = binascii.hexlify(content).decode()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\n{kind}\n{len(content):8}\n{lines}\n".encode()


def text_chunk(kind: bytes, keyword: bytes, text: bytes, packed: bool = False) -> Chunk:
    """A tEXt, zTXt or iTXt chunk."""
    if kind == b"tEXt":
        return kind, keyword + b"\0" + text
    if kind == b"zTXt":
        return kind, keyword + b"\0\0" + zlib.compress(text)
    content = zlib.compress(text) if packed else text
    return kind, keyword + b"\0" + bytes([packed, 0]) + b"en\0Keyword\0" + content


def png_sources(orientation: int) -> dict[str, list[Chunk]]:
    """Chunks that say this orientation, in every way that programs use."""
    prefixed = b"Exif\0\0" + exif(orientation)
    adobe = b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)
    bare, packet, key = exif(orientation), xmp(orientation), b"XML:com.adobe.xmp"
    raw = b"Raw profile type "
    return {
        "exif": [(b"eXIf", exif(orientation))],
        "exif_big_endian": [(b"eXIf", exif(orientation, ">"))],
        "exif_prefixed": [(b"eXIf", prefixed)],
        "xmp": [text_chunk(b"iTXt", key, packet)],
        "xmp_packed": [text_chunk(b"iTXt", key, packet, True)],
        "xmp_element": [text_chunk(b"iTXt", key, xmp(orientation, "element"))],
        "xmp_apostrophes": [text_chunk(b"iTXt", key, xmp(orientation, "apostrophes"))],
        "xmp_spaces": [text_chunk(b"iTXt", key, xmp(orientation, "spaces"))],
        "xmp_in_text": [text_chunk(b"tEXt", key, packet)],
        "xmp_in_packed_text": [text_chunk(b"zTXt", key, packet)],
        "raw_exif": [text_chunk(b"tEXt", raw + b"exif", raw_profile("exif", prefixed))],
        "raw_exif_packed": [text_chunk(b"zTXt", raw + b"exif", raw_profile("exif", prefixed))],
        "raw_exif_bare": [text_chunk(b"zTXt", raw + b"exif", raw_profile("exif", bare))],
        "raw_exif_itxt": [text_chunk(b"iTXt", raw + b"exif", raw_profile("exif", prefixed), True)],
        "raw_app1": [text_chunk(b"zTXt", raw + b"APP1", raw_profile("generic", prefixed))],
        "raw_app1_xmp": [text_chunk(b"zTXt", raw + b"APP1", raw_profile("generic", adobe))],
        "raw_xmp": [text_chunk(b"zTXt", raw + b"xmp", raw_profile("xmp", packet))],
    }  # fmt: skip


def png_disagreements() -> dict[str, tuple[int, list[Chunk]]]:
    """Chunks that contradict each other, and the orientation that counts."""
    six, eight, three = png_sources(6), png_sources(8), png_sources(3)
    bad_exif, no_exif = (
        [(b"eXIf", b"II*\0\xff\xff\xff\xff")],
        [(b"eXIf", exif_without_orientation())],
    )
    return {
        "exif_before_raw": (6, eight["raw_exif"] + six["exif"]),
        "exif_before_xmp": (6, eight["xmp"] + six["exif"]),
        "raw_exif_before_xmp": (6, eight["xmp_packed"] + six["raw_exif"]),
        "raw_exif_before_app1": (6, eight["raw_app1"] + six["raw_exif"]),
        "upright_exif_before_xmp": (1, eight["xmp"] + png_sources(1)["exif"]),
        "all": (3, eight["xmp"] + six["raw_exif"] + three["exif"]),
        "damaged_exif_then_xmp": (6, bad_exif + six["xmp"]),
        "silent_exif_then_xmp": (6, no_exif + six["xmp"]),
        "first_of_two_xmp": (6, six["xmp"] + eight["xmp"]),
    }  # fmt: skip
