"""One thread: the tensors are small, and threads that wait for each other cost more than they do.

Set before any test imports torch; the processes that tests start inherit it.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six utterances of tones to train on, two of them to develop on."""
    from tones import TEXTS, make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus") / "tones", TEXTS, TEXTS[:2])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a trained, scored study of the commands. Tests share it and write elsewhere."""
    from made_by_commands import make

    return make(tmp_path_factory.mktemp("made"))
