"""What differs between systems, and where: by length, by kind of error, by speaker, by utterance.

Texts in, frozen dataclasses out, each with a `plain()` for JSON. Everything is told by characters,
and every total is that of `score.character_errors`.
Counts are sums over the runs of a system, rates their means over runs.
The letters at the end of a name are its axes: U utterances, S seeds (runs of one system), D
different references, P different pairs of a reference and a hypothesis, E edits of all pairs, C
characters of all texts of a kind one after another, G speakers.
"""
