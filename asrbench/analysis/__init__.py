"""Error analysis: where systems differ, by length, kind of error, speaker, utterance and seen text.

Functions take texts and return frozen dataclasses. All errors are edits of characters, and every
total equals that of `score.character_errors`. Counts are sums over the runs of a system, rates are
means over its runs. The letters at the end of an array's name are its axes: U utterances, S seeds
(runs of one system), D distinct references, P distinct pairs of a reference and a hypothesis, E
edits of all pairs, C characters of all texts one after another, G speakers.
"""
