"""Freed memory is there for the next array without a page fault, and large pieces go back."""

import resource
import sys

import numpy as np
import pytest

from maskwright.core.allocator import keep_freed_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has these settings")
def test_an_array_of_the_same_size_comes_without_page_faults():
    if not keep_freed_memory():
        pytest.skip("the C library is not glibc")

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.full(1 << 23, 1.0)  # 64 MiB, of which glibc would map every one anew
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert min(faults() for _ in range(5)) < 1000 < (1 << 26) // 4096
