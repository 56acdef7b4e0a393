"""Transcripts in every format that `asrbench score` reads, and damage to their lines."""

import csv
import io
import json
import random
from collections.abc import Callable

from mutations import Mutation

from attack.damage import doubled, exchanged

REFERENCES = {"u1": "하나 둘 셋", "u2": "넷 다섯", "u3": "one two", "u4": "three"}
HYPOTHESES = {"u1": "하나 둘", "u2": "넷 다서", "u3": "one too", "u4": "three"}


def _nemo(text: dict[str, str], other: dict[str, str]) -> str:
    rows = (
        {"audio_filepath": f"x/{id}.wav", "duration": 1.0, "text": text[id], "pred_text": other[id]}
        for id in text
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _jsonl(reference: dict[str, str], hypothesis: dict[str, str]) -> str:
    rows = ({"id": i, "reference": reference[i], "hypothesis": hypothesis[i]} for i in reference)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(reference: dict[str, str], hypothesis: dict[str, str]) -> str:
    file = io.StringIO()
    rows = ((id, reference[id], hypothesis[id]) for id in reference)
    csv.writer(file).writerows([("id", "targets", "predictions"), *rows])
    return file.getvalue()


def files(texts: dict[str, str], references: dict[str, str]) -> dict[str, bytes]:
    """Returns texts in every format, by the name of a file; `whisper/` is a folder of them.

    The formats that hold references beside the hypotheses have `references`.
    """
    lines = {
        "x.trn": "".join(f"{text} ({id})\n" for id, text in texts.items()),
        "x.tsv": "".join(f"{id}\t{text}\n" for id, text in texts.items()),
        "x.txt": "".join(f"{id} {text}\n" for id, text in texts.items()),
        "x.csv": _csv(references, texts),
        "x.jsonl": _jsonl(references, texts),
        "nemo.jsonl": _nemo(references, texts),
        "list.json": json.dumps(
            [{"id": i, "reference": references[i], "hypothesis": texts[i]} for i in texts]
        ),
    }
    whisper = {
        f"whisper/{id}.json": {"text": text, "segments": [{"id": 0, "text": text}]}
        for id, text in texts.items()
    }
    whisperx = {
        f"whisperx/{id}.json": {"segments": [{"text": word} for word in text.split()]}
        for id, text in texts.items()
    }
    found = {name: text.encode() for name, text in lines.items()}
    found["kospeech.csv"] = lines["x.csv"].encode("cp949", errors="replace")
    return found | {name: json.dumps(each).encode() for name, each in (whisper | whisperx).items()}


# Damage to lines

STRANGE = (
    "\0",
    "\ufeff",
    "\u202e",
    "\x1b[2J",
    "\u2028",
    "\x85",
    "\r",
    "\t",
    "(",
    ") (u1)",
    "{ a / b }",
    '"',
    ",",
    "<space>",
    "▁",
    "<sos>",
    "ㄱ",
    "\u1100",
    "e\u0301" * 30,
    "\U0001f600",
    "ﷺ",
    "İ",
    "3시 (세 시)",
    "%",
    "[/red]",
    "\ud800",
)
"""What texts of others contain, that formats, terminals and profiles may trip over."""

ENCODINGS = ("utf-16", "utf-8-sig", "utf-32-le", "cp949", "euc-kr", "latin-1", "utf-7", "shift-jis")


def _lines_changed(
    change: Callable[[list[bytes], random.Random], list[bytes]],
) -> Mutation:
    def changed(content: bytes, draw: random.Random) -> bytes:
        return b"\n".join(change(content.split(b"\n"), draw))

    changed.__name__ = change.__name__
    return changed


def dropped(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines))
    return lines[:place] + lines[place + 1 :]


def repeated(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines))
    return lines[: place + 1] + lines[place:]


def shuffled(lines: list[bytes], draw: random.Random) -> list[bytes]:
    return draw.sample(lines, len(lines))


def halved(lines: list[bytes], draw: random.Random) -> list[bytes]:
    place = draw.randrange(len(lines))
    line = lines[place]
    return [*lines[:place], line[: len(line) // 2], line[len(line) // 2 :], *lines[place + 1 :]]


def with_crlf(content: bytes, draw: random.Random) -> bytes:
    return content.replace(b"\n", b"\r\n")


def with_strange(content: bytes, draw: random.Random) -> bytes:
    """Puts strange characters into places; half of a surrogate pair as three bytes."""
    for _ in range(draw.choice([1, 1, 5])):
        place = draw.randint(0, len(content))
        strange = draw.choice(STRANGE).encode("utf-8", "surrogatepass")
        content = content[:place] + strange + content[place:]
    return content


def encoded(content: bytes, draw: random.Random) -> bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp949")
    return text.encode(draw.choice(ENCODINGS), errors="replace")


def stretched(content: bytes, draw: random.Random) -> bytes:
    """Makes one place very long."""
    place = draw.randint(0, len(content))
    piece = draw.choice(["a", " ", "가", "\t", "("]).encode()
    return content[:place] + piece * draw.choice([1000, 20_000]) + content[place:]


BY_LINE: tuple[Mutation, ...] = (
    *map(_lines_changed, (dropped, repeated, shuffled, halved)),
    *(with_crlf, with_strange, with_strange, encoded, stretched, doubled, exchanged),
)
