"""What holds for all tests: no clock decides about them, and small tensors need no threads."""

from __future__ import annotations

import os

from hypothesis import settings

# Before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
