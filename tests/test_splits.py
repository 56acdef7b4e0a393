import csv
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.stages.prep.splits import LeftOut, disjoint_splits, take_dev, with_dev

DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Row:
    id: str
    speaker: str | None
    text: str


def rows_of(*sizes: int) -> list[Row]:
    """Makes speakers s0, s1, ... with so many utterances and no shared text."""
    return [
        Row(f"s{speaker}-{i}", f"s{speaker}", f"text {speaker} {i}")
        for speaker, size in enumerate(sizes)
        for i in range(size)
    ]


def real(name: str) -> list[Row]:
    path = DATA / name / "transcripts.tsv"
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Row(row["utt_id"], row["speaker"], row["text"]) for row in table]


speakers = st.sampled_from([None, "a", "b", "c", "d", "e", "f", "g"])
known_speakers = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])


@st.composite
def tables(draw: st.DrawFn, speakers: st.SearchStrategy[str | None] = speakers) -> list[Row]:
    texts = st.integers(0, draw(st.sampled_from([2, 10, 1000]))).map(str)
    pairs = draw(st.lists(st.tuples(speakers, texts), min_size=2, max_size=60))
    return [Row(f"u{i}", speaker, text) for i, (speaker, text) in enumerate(pairs)]


def sizes(rows: list[Row]) -> Counter[str | None]:
    return Counter(row.speaker for row in rows)


@given(tables(known_speakers), st.data(), st.integers(0, 3))
def test_dev_is_whole_speakers_and_near_what_was_asked(
    rows: list[Row], data: st.DataObject, seed: int
) -> None:
    n = data.draw(st.integers(1, len(rows) - 1))
    if len(sizes(rows)) == 1:
        with pytest.raises(UserError, match="only speaker"):
            take_dev(rows, n, seed)
        return
    ids = take_dev(rows, n, seed)
    dev = [row for row in rows if row.id in ids]
    train = [row for row in rows if row.id not in ids]
    assert len(ids) == len(dev) > 0
    assert train
    assert not sizes(dev).keys() & sizes(train).keys()
    assert abs(len(dev) - n) < min(sizes(train).values())


def test_dev_goes_over_where_that_is_nearer() -> None:
    """With three speakers of 10 utterances, one is nearest to 14 and two are nearest to 18."""
    assert len(take_dev(rows_of(10, 10, 10), 14, 0)) == 10
    assert len(take_dev(rows_of(10, 10, 10), 18, 0)) == 20


def test_test_leaves_a_speaker_for_dev() -> None:
    """Test wants 2 of 12: taking both small speakers would be exact, but leave dev none."""
    made = disjoint_splits(rows_of(1, 1, 10), (0.66, 0.17, 0.17), 0)
    assert Counter(made.assignment.values()) == {"train": 10, "dev": 1, "test": 1}


@given(tables(st.none()), st.data(), st.integers(0, 3))
def test_without_speakers_dev_has_exactly_what_was_asked(
    rows: list[Row], data: st.DataObject, seed: int
) -> None:
    n = data.draw(st.integers(1, len(rows) - 1))
    assert len(take_dev(rows, n, seed)) == n


def outcome(decide: Callable[[list[Row]], Any], rows: list[Row]) -> Any:
    """Returns the decision, or the message of the `UserError`."""
    try:
        return decide(rows)
    except UserError as error:
        return str(error)


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], shuffler: random.Random) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    for decide in (
        lambda rows: take_dev(rows, len(rows) // 2, 1),
        lambda rows: disjoint_splits(rows, (0.6, 0.2, 0.2), 1),
    ):
        assert outcome(decide, shuffled) == outcome(decide, rows)


@given(
    tables(),
    st.sampled_from([(0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0)]),
    st.integers(0, 3),
)
def test_splits_share_neither_speaker_nor_text(
    rows: list[Row], fractions: tuple[float, float, float], seed: int
) -> None:
    made = outcome(lambda rows: disjoint_splits(rows, fractions, seed), rows)
    if isinstance(made, str):
        assert made.startswith("--split: ")
        assert "\n" not in made
        return
    split = made.assignment
    names = {name for name, share in zip(("train", "dev", "test"), fractions, strict=True) if share}
    assert set(split.values()) == names
    # Every row is accounted for, once.
    assert split.keys() | made.left_out.keys() == {row.id for row in rows}
    assert not split.keys() & made.left_out.keys()
    for key in ("speaker", "text"):
        homes: dict[str, set[str]] = {}
        for row in rows:
            if row.id in split and getattr(row, key) is not None:
                homes.setdefault(getattr(row, key), set()).add(split[row.id])
        assert all(len(home) == 1 for home in homes.values())
    # What was left out could not have stayed: its text is kept elsewhere.
    home_of = {row.text: split[row.id] for row in rows if row.id in split}
    for row in rows:
        if row.id in made.left_out:
            assert made.left_out[row.id].text_split != made.left_out[row.id].split
            assert home_of.get(row.text) == made.left_out[row.id].text_split


@given(tables(st.none()))
def test_without_speakers_nothing_is_lost(rows: list[Row]) -> None:
    if len({row.text for row in rows}) >= 3:
        assert disjoint_splits(rows, (0.8, 0.1, 0.1), 0).left_out == {}


def test_a_text_stays_where_most_say_it() -> None:
    """Test has s1, dev s2, train s0: 'hello' 3 : 1, 'bye' 1 : 1 : 1 goes to test."""
    rows = rows_of(60, 10, 10)
    rows += [Row(f"s0-hello-{i}", "s0", "hello") for i in range(3)]
    rows += [Row("s1-hello", "s1", "hello")]
    rows += [Row(f"s{i}-bye", f"s{i}", "bye") for i in range(3)]
    made = disjoint_splits(rows, (0.74, 0.13, 0.13), 0)
    speaker_of = {split: id.split("-")[0] for id, split in made.assignment.items()}
    assert speaker_of["train"] == "s0"
    test, dev = speaker_of["test"], speaker_of["dev"]
    expected = {
        f"{dev}-bye": LeftOut("dev", "test"),
        "s0-bye": LeftOut("train", "test"),
        "s1-hello": LeftOut("test" if test == "s1" else "dev", "train"),
    }
    assert made.left_out == expected


def test_speakers_who_all_read_the_same_still_make_three_splits() -> None:
    """20 speakers read the same 30 texts: by majority alone, train would take every text."""
    rows = [Row(f"{s}-{t}", f"s{s}", f"t{t}") for s in range(20) for t in range(30)]
    made = disjoint_splits(rows, (0.8, 0.1, 0.1), 0)
    kept = Counter(made.assignment.values())
    assert kept["dev"] >= 0.04 * kept.total()
    assert kept["test"] >= 0.04 * kept.total()
    assert kept.total() > 0.4 * len(rows)


def test_seeds_differ_and_are_the_same_on_every_machine() -> None:
    rows = rows_of(*[5] * 40)
    chosen = [frozenset(take_dev(rows, 20, seed)) for seed in range(8)]
    assert len(set(chosen)) == 8
    # A golden: whoever prepares the corpus anywhere must get these speakers.
    assert sorted({id.split("-")[0] for id in take_dev(rows, 20, 0)}) == [
        "s12",
        "s16",
        "s2",
        "s5",
    ]


@pytest.mark.parametrize(("n", "train"), [(5, 5), (0, 5), (-1, 5), (9, 5)])
def test_dev_must_be_smaller_than_train(n: int, train: int) -> None:
    with pytest.raises(UserError, match=rf"^--dev: found {n}, allowed: 1 to 4 of the 5 utterances"):
        take_dev(rows_of(*[1] * train), n, 0)


def test_dev_of_a_single_speaker_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"^--dev: 's0' is the only speaker of train.*mark a split"):
        take_dev(rows_of(10), 2, 0)
    with pytest.raises(UserError, match=r"^--dev: found 1, but train has 1 utterances"):
        take_dev(rows_of(1), 1, 0)


def test_with_dev_moves_and_loses_nothing() -> None:
    rows, test = rows_of(4, 4, 4), [Row("t", "x", "y")]
    splits = with_dev({"train": rows, "test": test}, 4, 0)
    assert sorted(splits) == ["dev", "test", "train"]
    assert splits["test"] == test
    assert len(splits["dev"]) == 4
    assert sorted(r.id for r in splits["train"] + splits["dev"]) == sorted(r.id for r in rows)
    assert with_dev({"train": rows}, 0, 0) == {"train": rows}


def test_with_dev_leaves_a_given_dev_alone() -> None:
    with pytest.raises(UserError, match=r"^--dev: found 2, but the corpus has a dev split of 1 "):
        with_dev({"train": rows_of(4, 4), "dev": rows_of(1)}, 2, 0)


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.1, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5), (80, 10, 10)],
)
def test_fractions_must_be_fractions(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match=r"^--split: found .*, allowed: shares of train, dev and"):
        disjoint_splits(rows_of(5, 5, 5), fractions, 0)


def test_too_few_speakers_says_what_to_do() -> None:
    message = r"^--split: 3 splits that share nothing need .* found 2; give a split the share 0$"
    with pytest.raises(UserError, match=message):
        disjoint_splits(rows_of(50, 50), (0.8, 0.1, 0.1), 0)
    two = disjoint_splits(rows_of(50, 50), (0.9, 0.0, 0.1), 0)
    assert Counter(two.assignment.values()) == {"train": 50, "test": 50}


def test_one_text_cannot_be_in_three_splits() -> None:
    rows = [Row(f"u{i}", f"s{i}", "yes") for i in range(10)]
    message = r"^--split: the speakers say the same texts, so that dev and test would be empty; "
    with pytest.raises(UserError, match=message):
        disjoint_splits(rows, (0.8, 0.1, 0.1), 0)


def test_korean_corpus_loses_little() -> None:
    """21 speakers, of whom one says 120 of the 603 utterances; 579 different texts."""
    rows = real("selvas_ko")
    assert len(rows) == 603
    for seed in range(5):
        made = disjoint_splits(rows, (0.8, 0.1, 0.1), seed)
        kept = Counter(made.assignment.values())
        assert len(made.left_out) <= 18
        assert kept["train"] >= 0.75 * 603
        assert min(kept["dev"], kept["test"]) >= 0.07 * 603


def test_an4_dev_is_what_was_asked() -> None:
    rows = real("an4")
    for seed in range(5):
        assert abs(len(take_dev(rows, 100, seed)) - 100) < 9  # msmn has 9, and is the smallest
