"""The functions of the package: what a notebook or a script calls."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly
from tones import TEXTS, cell_of, make_corpus, sets_for, spoken, trained

import asrbench
from asrbench.base.errors import UserError
from asrbench.data.audio import from_array

PAGE = Path(__file__).parent.parent / "docs" / "api.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned its utterances by heart."""
    folder = tmp_path_factory.mktemp("api")
    corpus = make_corpus(folder / "corpus", TEXTS[:2], TEXTS[:2])
    sets = ["train.epochs=80", "train.batch_seconds=10", *sets_for("ds2_crossattn")]
    return trained(cell_of(folder, corpus, *sets), folder / "results").folder


def test_a_recogniser_hears_int16_and_floats_alike(run: Path) -> None:
    recogniser = asrbench.load(run, device="cpu")
    samples = spoken(TEXTS[0])
    assert recogniser.transcribe(samples, 16_000) == TEXTS[0]
    for kind in (np.float32, np.float64):
        assert recogniser.transcribe((samples / 32_768).astype(kind), 16_000) == TEXTS[0]
    assert recogniser.transcribe((samples / 32_768).tolist(), 16_000) == TEXTS[0]


def test_another_rate_is_resampled(run: Path) -> None:
    wave = resample_poly(spoken(TEXTS[1]) / 32_768, 3, 1)
    assert asrbench.load(run).transcribe(wave, 48_000) == TEXTS[1]


def test_every_search_of_the_head_can_be_asked_for(run: Path) -> None:
    recogniser = asrbench.load(run)
    assert recogniser.searches == ("greedy", "beam", "attention", "attention_beam", "joint")
    for search in recogniser.searches:
        assert recogniser.transcribe(spoken(TEXTS[0]), 16_000, search) == TEXTS[0]
    with pytest.raises(
        UserError, match="found 'beem', allowed: greedy, beam, attention, attention_beam, joint"
    ):
        recogniser.transcribe(spoken(TEXTS[0]), 16_000, "beem")
    assert recogniser.transcribe(spoken(TEXTS[0]), 16_000, "beam", beam=2) == TEXTS[0]
    with pytest.raises(UserError, match=r"decode.beem: found an unknown key, .*'beam'"):
        recogniser.transcribe(spoken(TEXTS[0]), 16_000, "beam", beem=2)


def test_int16_at_16_khz_passes_bit_for_bit() -> None:
    samples = spoken(TEXTS[0])
    assert np.array_equal(from_array(samples, 16_000), samples)
    assert np.array_equal(from_array(samples / 32_768, 16_000), samples)


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros((2, 100), np.int16), 16_000, r"shape \(2, 100\), allowed: one dimension"),
        (np.float32(0.5), 16_000, r"shape \(\), allowed: one dimension"),
        (np.zeros(100, np.int32), 16_000, "found int32 samples, allowed: int16, or floats"),
        (np.zeros(100, np.int16), 10, "found a sample rate of 10 Hz, allowed: 1000 to 768000"),
        (np.full(100, 20_000.0), 16_000, "found floats up to 20000, allowed: -1 to 1"),
        (np.full(100, np.nan), 16_000, "not finite"),
        (np.zeros(0, np.int16), 16_000, "zero samples"),
    ],
)
def test_what_is_no_waveform_is_one_line(array: object, rate: int, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_array(array, rate)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_score_counts_by_the_profile() -> None:
    found = asrbench.score(["가나 다", "abc"], ["가나다", "abd"])
    # One space deleted and one letter substituted, of 4 + 3 characters.
    assert (found.cer, found.n) == (pytest.approx(float(Fraction(2, 7))), 7)
    assert asrbench.score("가나 다", "가나다", profile="nospace").cer == 0
    with pytest.raises(UserError):
        asrbench.score(["a"], ["a", "b"])


def test_every_public_name_is_on_its_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in asrbench.__all__:
        assert f"asrbench.{name}" in page
        assert getattr(asrbench, name).__doc__


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import asrbench, sys; print({'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
