"""Gives a process the memory settings of `asrbench train`. To be imported before torch is."""

import os

from asrbench.base.memory import reuse_memory

ENVIRONMENT = dict(os.environ)
"""As it was: that of processes which are not to have these settings."""

reuse_memory()
