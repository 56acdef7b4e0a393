"""Subtitles of timed words: SubRip (.srt) and WebVTT (.vtt).

A cue is a line of at most `LINE` characters and `LONGEST_S` seconds, as is customary; a pause of
`PAUSE_S` ends it. A cue shorter than `SHORTEST_S` stays until then, or until the next begins.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

LINE = 42
LONGEST_S = 7.0
SHORTEST_S = 1.0
PAUSE_S = 1.0


class SpokenWord(Protocol):
    """A word and when it is spoken, in seconds."""

    @property
    def text(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


class Cue(NamedTuple):
    """A line of subtitles, and when it is shown."""

    start_s: float
    end_s: float
    text: str


def srt(words: Sequence[SpokenWord]) -> str:
    """Returns the words as SubRip; empty without words."""
    return "\n".join(
        f"{number}\n{_time(cue.start_s, ',')} --> {_time(cue.end_s, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues_of(words), start=1)
    )


def vtt(words: Sequence[SpokenWord]) -> str:
    """Returns the words as WebVTT (W3C, "WebVTT: The Web Video Text Tracks Format")."""
    cues = (
        f"\n{_time(cue.start_s, '.')} --> {_time(cue.end_s, '.')}\n"
        f"{html.escape(cue.text, quote=False)}\n"
        for cue in cues_of(words)
    )
    return "WEBVTT\n" + "".join(cues)


def cues_of(words: Sequence[SpokenWord]) -> list[Cue]:
    """Returns the cues in order; none begins before the one before it ends."""
    groups = list(_grouped(words))
    starts = [group[0].start_s for group in groups]
    cues = []
    for number, group in enumerate(groups):
        wanted_s = max(group[-1].end_s, starts[number] + SHORTEST_S)
        later_s = starts[number + 1] if number + 1 < len(starts) else wanted_s
        cues.append(Cue(starts[number], min(wanted_s, later_s), " ".join(w.text for w in group)))
    return cues


def _grouped(words: Iterable[SpokenWord]) -> Iterator[list[SpokenWord]]:
    group: list[SpokenWord] = []
    for word in words:
        if group and (
            sum(len(each.text) + 1 for each in group) + len(word.text) > LINE
            or word.end_s - group[0].start_s > LONGEST_S
            or word.start_s - group[-1].end_s >= PAUSE_S
        ):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _time(seconds: float, mark: str) -> str:
    """Returns hours:minutes:seconds with milliseconds after `mark`."""
    rest, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, second = divmod(rest, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{mark}{milliseconds:03}"
