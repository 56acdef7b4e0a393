"""Recipes: one file for each corpus or format, and one line in `RECIPES` below.

A recipe reads a corpus as it is distributed and leaves a corpus folder. Its file declares the
options in a dataclass, has a `prepare` function, and ends in `RECIPE = Recipe(...)`. The commands
of `asrbench prep` are generated from that (`asrbench.cli.prep`).
"""

from importlib import import_module

from asrbench.base.errors import pick
from asrbench.stages.prep.recipe import AnyRecipe

RECIPES = {
    "an4": "AN4 as CMU distributes it.",
    "ksponspeech": "KsponSpeech as AI Hub distributes it.",
    "table": "Any corpus listed in a TSV, CSV or JSONL.",
    "synthetic": "Sentences spoken by eSpeak NG, in noise.",
    "librispeech": "LibriSpeech as OpenSLR distributes it.",
    "zeroth": "Zeroth-Korean as OpenSLR distributes it.",
    "commonvoice": "A language of Mozilla's Common Voice.",
    "kaldi": "Kaldi data folders: wav.scp, text, utt2spk, segments.",
    "nemo": "NeMo manifests, one for each split.",
    "lhotse": "Lhotse manifests: recordings and supervisions, or cuts.",
}
"""The recipes with their one-line help, in the order of `asrbench prep --help`. A recipe is the
module of this package that has its name. It is imported only when its command is called."""


def load_recipe(name: str) -> AnyRecipe:
    """Imports the recipe `name`, one of `RECIPES`. Raises `UserError` for another name."""
    recipe: AnyRecipe = import_module(f"{__name__}.{pick('prep', name, RECIPES)}").RECIPE
    return recipe
