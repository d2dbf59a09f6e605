"""Cores and memory: what the machine, its processors and a container's limits say together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ragstack.engine import machine

Told = Callable[[str, str], None]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return what writes a file of a machine that has none; four processors may be used."""
    monkeypatch.setattr(machine, "physical_cores", machine.physical_cores.__wrapped__)
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / str(name).lstrip("/"))
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: {0, 1, 2, 3})

    def write(name: str, text: str) -> None:
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    return write


def test_two_threads_of_a_core_are_one(told: Told) -> None:
    assert machine.physical_cores() == 4  # where nothing is known, each is its own
    for cpu, pair in enumerate(("0-1", "0-1", "2-3", "2-3")):
        told(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{pair}\n")
    assert machine.physical_cores() == 2
    assert machine.logical_cores() == 4


@pytest.mark.parametrize("name", ["flags\t\t", "Features\t"])
def test_features_are_those_of_the_first_core(told: Told, name: str) -> None:
    asked = machine.processor_features.__wrapped__
    assert asked() == frozenset()
    told("/proc/cpuinfo", f"processor\t: 0\nbugs\t: spectre_v2\n{name}: fma avx2\n\n{name}: odd\n")
    assert asked() == {"fma", "avx2"}
    told("/proc/cpuinfo", "processor\t: 0\n")
    assert asked() == frozenset()


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 4), ("300000 100000", 3), ("20000 100000", 1), ("odd", 4)],
)
def test_a_quota_of_processor_time_counts(told: Told, quota: str, cores: int) -> None:
    told("/sys/fs/cgroup/cpu.max", f"{quota}\n")
    assert machine.physical_cores() == machine.logical_cores() == cores


def test_memory_is_the_least_that_anyone_leaves(told: Told) -> None:
    assert machine.available() is None
    told("/proc/meminfo", "MemTotal: 900 kB\n")
    assert machine.available() is None
    told("/proc/meminfo", "MemTotal: 900 kB\nMemAvailable: 700 kB\n")
    assert machine.available() == 700 * 1024
    told("/sys/fs/cgroup/memory.max", "max\n")
    told("/sys/fs/cgroup/memory.current", "300000\n")
    told("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 50000\nactive_file 7\n")
    assert machine.available() == 700 * 1024
    told("/sys/fs/cgroup/memory.max", "400000\n")
    assert machine.available() == 150_007  # what files hold can be had back


def test_a_machine_without_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.load() or 0.0) >= 0.0
    assert machine._allowed_cpus()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.load() is None
    assert machine._allowed_cpus() == {0}
