"""Gives memory that was freed back to the system, between phases that need it in turn."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch


def release_memory() -> None:
    """Returns freed memory to the system, and a device's cached blocks to its driver.

    Heavy children keep what they free (`tasks.heavy.launcher`), which is fast while each step asks
    for the same blocks again. Where sampling and training take turns their blocks differ, and
    without this the process would grow to the sum of both.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others have none
        if trim is not None:
            trim(0)
