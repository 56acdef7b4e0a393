"""Gives a process the memory settings of `asrbench train`; must be imported before torch."""

import os

from asrbench.base.memory import reuse_memory

ENVIRONMENT = dict(os.environ)
"""The environment before that, for processes that must not have these settings."""

reuse_memory()
