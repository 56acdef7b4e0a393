"""One thread: the tensors are small, and threads that wait for each other cost more than they do.

Set before any test imports torch; the processes that tests start inherit it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
