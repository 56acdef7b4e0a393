"""Damage of sound files that libsndfile does not report, found in their bytes."""

import re
import zlib
from typing import BinaryIO

FORMATS = ("AIFF", "AU", "CAF", "FLAC", "MP3", "NIST", "OGG", "RF64", "W64", "WAV", "WAVEX")
"""The formats that are read, as libsndfile names them. It knows more, mostly of old samplers, whose
damage nothing shows: of two such files in one, it drops the second or plays its header."""

SEVERAL = "several files in one, of which only the first is decoded"

_FIRST, _LAST = 0x02, 0x04
"""Flags of the first and of the last page of an Ogg stream."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Every byte with its bits in the opposite order."""

_STARTS = {
    "AU": (
        re.compile(rb"\.snd\x00\x00.{6}\x00\x00\x00", re.S),
        re.compile(rb"dns\..{2}\x00\x00.{5}\x00\x00\x00", re.S),
    ),
    "CAF": (re.compile(rb"caff\x00\x01\x00.desc", re.S),),
    "FLAC": (re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),),
    "MP3": (
        re.compile(rb"Xing\x00\x00\x00[\x00-\x0f]"),
        re.compile(rb"Info\x00\x00\x00[\x00-\x0f]"),
        re.compile(rb"VBRI\x00\x01"),
    ),
    "NIST": (re.compile(rb"NIST_1A\n"),),
    "RF64": (re.compile(rb"RF64.{4}WAVE", re.S),),
    "W64": (re.compile(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),),
}
"""What stands at the start of a file of a format, and nowhere else in it, such as FLAC's mark with
the header of STREAMINFO (RFC 9639, 8.2), or the headers with the length of an mp3. One pattern for
each: a search for a single literal is thirty times as fast as one for several. Of wav and aiff,
libsndfile itself refuses two in one; Ogg has `ogg_fault`."""

_LONGEST_MARK = 32
"""No pattern of this module matches more bytes."""

_PIECE = 1 << 20

_DATA_CHUNK = re.compile(
    r"(?:data|SSND|Data Size|^riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)
"""A line of libsndfile's log of a wav, aiff, au, w64 or RF64 file, both numbers in bytes:
`data : 64000 (should be 38382)`."""


def container_fault(format: str, stream: BinaryIO) -> str | None:
    """Returns what is wrong with a file and passed over by libsndfile; None if nothing is."""
    if format == "OGG":
        return ogg_fault(stream)
    return SEVERAL if is_concatenated(format, stream) else None


def is_concatenated(format: str, stream: BinaryIO) -> bool:
    """Returns whether several files of a format stand in one, of which only the first is decoded.

    Reads the stream from its start to its end. If it holds only the two ends of a file, a second
    file may go unnoticed.
    """
    return sum(_count(mark, stream) for mark in _STARTS.get(format, ())) > 1


def _count(mark: re.Pattern[bytes], stream: BinaryIO) -> int:
    """Returns the number of matches in a stream, of which one piece is in memory at a time."""
    stream.seek(0)
    count, rest = 0, b""
    while piece := stream.read(_PIECE):
        piece = rest + piece
        end = 0
        for match in mark.finditer(piece):
            count, end = count + 1, match.end()
        rest = piece[max(end, len(piece) - _LONGEST_MARK) :]
    return count


def ogg_fault(stream: BinaryIO) -> str | None:
    """Returns what is wrong with the pages of an Ogg file (RFC 3533, 6); None if nothing is.

    libsndfile skips pages that are damaged, and does not notice if the last ones are missing.
    """
    streams: set[bytes] = set()
    beginning, last, place = True, False, stream.seek(0)
    while (head := stream.read(27))[:4] == b"OggS" or not last:
        sizes = stream.read(head[26] if len(head) == 27 else 0)
        body = stream.read(sum(sizes))
        if len(head) < 27 or len(sizes) < head[26] or len(body) < sum(sizes):
            return "cut short: no last Ogg page"
        if head[:4] != b"OggS" or _checksum(head[:22] + bytes(4) + head[26:] + sizes + body) != (
            int.from_bytes(head[22:26], "little")
        ):
            return f"damaged: the Ogg page at byte {place}"
        first, last = bool(head[5] & _FIRST), bool(head[5] & _LAST)
        beginning = beginning and first
        if not beginning and (first or head[14:18] not in streams):
            return SEVERAL
        streams.add(head[14:18])
        place = stream.tell()
    return None


def _checksum(page: bytes) -> int:
    """Returns the checksum of an Ogg page: CRC-32 with the bits of zlib's in opposite order.

    Unlike zlib's, it starts at 0 and is not inverted.
    """
    opposite = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(opposite.to_bytes(4, "big").translate(_REVERSED), "little")


def claimed_bytes(log: str) -> tuple[int, int] | None:
    """Returns the size that a header claims and the size found, if libsndfile's log says both."""
    found = _DATA_CHUNK.search(log)
    return None if found is None else (int(found[1]), int(found[2]))
