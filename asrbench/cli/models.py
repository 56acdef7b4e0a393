"""`asrbench models`: prints the registry of models."""

from asrbench.cli.options import Plugin
from asrbench.cli.terminal import print_table

BINS, SYMBOLS = 80, 2001
"""Feature bins and output symbols of the models whose parameters are counted."""


def models(plugin: Plugin = None) -> None:
    """Print the registry of models.

    Parameters are counted at full size, with 80 feature bins and 2,001 output symbols. With
    --plugin the models and kinds that the file registers are listed too.
    """
    from asrbench.experiment import plugins
    from asrbench.experiment.registry import MODELS
    from asrbench.experiment.spec_model import ATTENTION, ENCODERS, HEADS, LOSS_TERMS
    from asrbench.models.model import outline_of

    for path in plugin or []:
        plugins.load(plugins.read(path))
    rows = []
    for name, entry in MODELS.items():
        model = outline_of(entry.model, bins=BINS, symbols=SYMBOLS)
        rows.append([name, f"{model.parameter_count / 1e6:.1f} M", entry.differs, entry.source])
    print_table(["model", "parameters", "what differs", "source"], rows)
    if plugin:
        kinds = [
            [table.section, registered.kind, str(path)]
            for path in plugin
            for table in (ATTENTION, ENCODERS, HEADS, LOSS_TERMS)
            for registered in table.by_origin(str(path))
        ]
        print_table(["section", "kind", "registered by"], kinds)
