"""Damage of sound files that libsndfile does not report, found in their bytes."""

import re

OGG_PAGE_BYTES = 65_307
"""Size of the largest Ogg page (RFC 3533, 6)."""

_FIRST, _LAST = 0x02, 0x04
"""Flags of the first and of the last page of an Ogg stream."""

_OGG_PAGE = re.compile(rb"OggS\x00(.).{8}(.{4})", re.DOTALL)
"""The header of an Ogg page: its flags, and the number of its stream."""

_STARTS = {
    "FLAC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "MP3": re.compile(rb"(?:Xing|Info)\x00\x00\x00[\x00-\x0f]|VBRI\x00\x01"),
}
"""What stands at the start of a file of a format, and nowhere else in it: FLAC's mark with the
header of STREAMINFO (RFC 9639, 8.2), and the headers with the length of an mp3."""

_DATA_CHUNK = re.compile(
    r"(?:data|SSND|Data Size|^riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)
"""A line of libsndfile's log of a wav, aiff, au, w64 or RF64 file, both numbers in bytes:
`data : 64000 (should be 38382)`."""


def is_concatenated(format: str, data: bytes) -> bool:
    """Returns whether several files of a format stand in one, of which only the first is decoded.

    `data` is the file, or its two ends: then a second file may go unnoticed.
    """
    if format == "OGG":
        return _is_chained(data)
    return format in _STARTS and len(_STARTS[format].findall(data)) > 1


def _is_chained(ogg: bytes) -> bool:
    """Returns whether a stream begins, or continues, that did not begin with the first pages."""
    streams: set[bytes] = set()
    beginning = True
    for page in _OGG_PAGE.finditer(ogg):
        first = bool(page[1][0] & _FIRST)
        beginning = beginning and first
        if beginning:
            streams.add(page[2])
        elif first or page[2] not in streams:
            return True
    return False


def ends_well(ogg: bytes) -> bool:
    """Returns whether an Ogg stream ends in a complete page marked as the last (RFC 3533, 6)."""
    page = ogg[ogg.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    sizes = page[27 : 27 + page[26]]
    return bool(page[5] & _LAST) and len(page) >= 27 + len(sizes) + sum(sizes)


def claimed_bytes(log: str) -> tuple[int, int] | None:
    """Returns the size that a header claims and the size found, if libsndfile's log says both."""
    found = _DATA_CHUNK.search(log)
    return None if found is None else (int(found[1]), int(found[2]))
