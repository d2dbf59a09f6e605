"""What this process may use of the machine: cores, their features, memory. Knows no models."""

from __future__ import annotations

import functools
import os
from pathlib import Path

__all__ = ["available", "load", "logical_cores", "physical_cores", "processor_features"]


@functools.cache
def physical_cores() -> int:
    """Return how many physical cores this process may use.

    Two threads on one core share its vector units, so llama.cpp is slower with a thread for each.
    """
    allowed = _allowed_cpus()
    cores = set()
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text(encoding="ascii"))
        except OSError:
            cores.add(str(cpu))
    return max(1, min(len(cores), _quota() or len(cores)))


def logical_cores() -> int:
    """Return how many threads may run at once, two on a core where it has two."""
    allowed = len(_allowed_cpus())
    return max(1, min(allowed, _quota() or allowed))


@functools.cache
def processor_features() -> frozenset[str]:
    """Return what the processor can do, as Linux spells it (``avx2``); nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            return frozenset(value.split())
    return frozenset()


def load() -> float | None:
    """Return how many processes wanted each thread of the machine in the last minute, if known."""
    if not hasattr(os, "getloadavg"):
        return None
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quota() -> int:
    """Return the whole cores a container's quota allows, 0 where there is none."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0
    return 0 if limit == "max" else max(1, round(int(limit) / int(period)))


def available() -> int | None:
    """Return the bytes this process may still take, None where the system does not say."""
    limits = [found for found in (_of_machine(), _of_container()) if found is not None]
    return min(limits, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_container() -> int | None:
    """Return what the control group leaves, its page cache counted as free."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    counts = dict(line.split() for line in stat.splitlines())
    return (
        int(limit) - used + int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
    )
