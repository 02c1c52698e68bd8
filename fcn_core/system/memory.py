"""The memory and processors that the program may use, and the memory that it uses."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import psutil

from fcn_core import settings

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max", None),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


def budget_mb() -> float:
    """Return the memory that the program may use, in megabytes (2**20 bytes).

    It is ``FCN_MEMORY_MB``, else the limit of the container (cgroup), else the memory of the machine.

    Raises
    ------
    SettingInvalid
        ``FCN_MEMORY_MB`` is not a whole number of megabytes.
    """
    wanted = settings.MEMORY_MB.value()
    if wanted is not None:
        return float(wanted)
    total: float = psutil.virtual_memory().total
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            total = min(total, float(Path(path).read_text(encoding="utf-8")))
    return total / 2**20


_reserved_mb = 0.0


def reserve(megabytes: float) -> None:
    """Reserve part of the budget for work beside the network, until this is called again."""
    global _reserved_mb
    _reserved_mb = megabytes


def reserved_mb() -> float:
    """Return the memory reserved for work beside the network, in megabytes; 0 if none."""
    return _reserved_mb


_lent_mb = 0.0
_returned = threading.Condition()


@contextmanager
def lent(megabytes: float) -> Iterator[None]:
    """Lend part of the budget to a process beside this one; passes of the network have the rest meanwhile."""
    global _lent_mb
    with _returned:
        _lent_mb += megabytes
    try:
        yield
    finally:
        with _returned:
            _lent_mb -= megabytes
            _returned.notify_all()


def lent_mb() -> float:
    """Return the memory that is lent to other processes, in megabytes; 0 if none."""
    return _lent_mb


def wait_until_returned(checkpoint: Callable[[], None]) -> bool:
    """Wait until no memory is lent; return whether any was. The checkpoint, called now and then, may raise."""
    with _returned:
        waited = _lent_mb > 0
        while not _returned.wait_for(lambda: not _lent_mb, 0.2):
            checkpoint()
        return waited


def pass_budget_mb(used_mb: float = 0.0) -> float:
    """Return what the process may hold while a network runs: the budget less what is reserved or lent.

    If `used_mb` outside the pass leaves little of that, half of the memory still free is allowed: a slow pass is
    better than none.
    """
    own = budget_mb() - _lent_mb
    return max(own - _reserved_mb, (used_mb + own) / 2)


def missing_mb(needed_mb: float, used_mb: float) -> float:
    """Return how much of `used_mb` must be freed before a pass fits that takes the process to `needed_mb`."""
    own = budget_mb() - _lent_mb
    return min(needed_mb - (own - _reserved_mb), 2 * needed_mb - used_mb - own)


_most_cpus: int | None = None


def use_cpus(count: int | None) -> None:
    """Use at most this number of processor cores, because others are for somebody else; None: all there are."""
    global _most_cpus
    _most_cpus = count


def cpus() -> int:
    """Return the number of processor cores that affinity, the container's quota and `use_cpus` allow, at least one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _CGROUP_QUOTAS:
        with suppress(OSError, ValueError, IndexError):
            words = [
                *Path(quota).read_text(encoding="utf-8").split(),
                *(Path(period).read_text(encoding="utf-8").split() if period else []),
            ]
            if int(words[0]) > 0:  # "max" or -1: no limit
                count = min(count, -(-int(words[0]) // int(words[1])))
    return max(1, count if _most_cpus is None else min(count, _most_cpus))


def rss_mb() -> float:
    """Return the resident memory of this process, in megabytes."""
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in megabytes."""
    with suppress(OSError):  # getrusage includes the process that started this program
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
        if found is not None:
            return float(found[1]) / 2**10
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def limit_free_heap(block_mb: int = 32) -> None:
    """Make the C library return large freed memory to the system at once, where it is glibc.

    Each thread has its own heap. By default glibc keeps up to 64 MB free at the end of each, which `trim_heap` cannot
    reach. After this call it keeps 2 MB, and blocks of at least `block_mb` (32 at most) are returned when freed.
    """
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, block_mb * 2**20)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * 2**20)


def trim_heap() -> None:
    """Return freed memory to the system, where the C library is glibc."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            libc = ctypes.CDLL("libc.so.6")
            return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    return None
