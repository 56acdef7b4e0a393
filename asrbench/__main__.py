"""Runs the command line of asrbench, for `python -m asrbench`."""

from asrbench.cli.app import app

app()
