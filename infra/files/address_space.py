"""A limit of this process's address space, so that a hostile input ends as an error of one file.

Without one an allocation that the machine can't serve is promised all the same, and the kernel
ends some process when the memory is touched; with one it fails as MemoryError at that place.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def size() -> int:
    """Bytes of address space that this process has, 0 where the system doesn't say."""
    try:
        with Path("/proc/self/statm").open() as f:
            return int(f.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Let the address space grow by at most `more` bytes; a lower limit that holds stays."""
    now = size()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [x for x in (soft, hard, now + more) if x != resource.RLIM_INFINITY]
    if not now:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
