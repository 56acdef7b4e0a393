"""Generators keyed by what they are for, so that no draw depends on the order of others."""

import hashlib


def key(*parts: int | str) -> int:
    """A 63-bit seed from `parts`; equal parts give equal seeds on every machine."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
