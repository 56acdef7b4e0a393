"""`asrbench schema`: prints the JSON schema of a spec file, for editors."""

import json

from asrbench.cli.options import Plugin
from asrbench.cli.terminal import echo_json


def schema(plugin: Plugin = None) -> None:
    """Print the JSON schema of a spec file, for editors.

    By it an editor completes the keys of a spec and checks them. `asrbench init` saves it beside
    the spec; `asrbench schema > asrbench.schema.json` does the same. The first line of a spec
    names the file for the YAML language server, which VS Code and other editors use:

    # yaml-language-server: $schema=asrbench.schema.json

    With --plugin the models and kinds that the file registers are known too.
    """
    from asrbench.experiment import plugins
    from asrbench.experiment.spec_schema import spec_schema

    for path in plugin or []:
        plugins.load(plugins.read(path))
    echo_json(json.dumps(spec_schema(), indent=2, ensure_ascii=False))
