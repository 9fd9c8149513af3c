"""Have the C library keep freed memory for the next forward pass, instead of giving it back and asking anew."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

LARGEST, KEPT = 1 << 28, 1 << 29
"""Bytes: larger pieces still come from the system and go back; and what is kept at most at the end of the heap."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Numbers of these settings in glibc's malloc.h."""


@cache
def keep_freed_memory() -> bool:
    """Set it for this process, where the C library is glibc; say whether it is.

    glibc maps every large array anew, and the kernel clears its pages one by one: 40,000 page faults and 16 % of the
    processor time of a 512 x 512 window by Unet-resnet18 (measured, docs/log.md 2026-11-27). Peak memory stays.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
