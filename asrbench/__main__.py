"""Runs the command line of asrbench, for `python -m asrbench`."""

from asrbench.cli.app import app

# Without a name, usage lines and shell completion would be those of `python -m asrbench`.
app(prog_name="asrbench")
