"""`asrbench doctor`: what this machine offers to training, and what would be slow or fail."""

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.terminal import echo, echo_json

INDENT = 25 * " "
"""The column of what was found, under which its reason stands."""


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every finding as one JSON document.")
    ] = False,
) -> None:
    """Say what this machine offers to training, and what is slow.

    Every line is `ok`, or says why training is `slow`, what else is `limited`, or what `fails`.
    The exit status is 2 only where training is impossible.
    """
    from asrbench.stages.doctor import examine

    extras = {"prep synthetic": _start_espeak, "export": _check_export}
    findings = list(examine(Path(), extras))
    failing = [each.what for each in findings if each.status == "fails"]
    if as_json:
        plain = {"can_train": not failing, "findings": [asdict(each) for each in findings]}
        echo_json(json.dumps(plain, indent=2, ensure_ascii=False))
    else:
        for each in findings:
            echo(f"{each.status:<9}{each.what:<16}{each.found}")
            if each.why:
                echo(textwrap.fill(each.why, 80, initial_indent=INDENT, subsequent_indent=INDENT))
    if failing:
        raise UserError(f"training is impossible here: {', '.join(failing)}")


def _start_espeak() -> None:
    from asrbench.stages.prep.espeak import Engine

    Engine()


def _check_export() -> None:
    from asrbench.stages.export import check_packages

    check_packages()
