"""The name of the CPU, from made-up texts of /proc/cpuinfo, and the CPU time of others."""

import os
import sys
from pathlib import Path

import pytest

from asrbench.base.cpu import CpuTimes, cpu_name, this_cpu

X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 143
model name\t: Intel(R) Xeon(R)  Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu vme model name

processor\t: 1
model name\t: Another CPU
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd40\n"


def test_the_name_is_that_of_the_first_cpu() -> None:
    assert cpu_name(X86) == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


@pytest.mark.parametrize("text", ["", ARM, "model name\t:\n", "model : 143\n"])
def test_a_text_without_a_name(text: str) -> None:
    assert cpu_name(text) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_this_machine_has_the_name_that_linux_gives() -> None:
    name = cpu_name(Path("/proc/cpuinfo").read_text())
    assert this_cpu()
    assert name is None or this_cpu() == name


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_others_by_hand() -> None:
    """In 10 s of two cores all processes used 14 s, of which 9 s are this one's: 5 of 20."""
    before, after = CpuTimes(100, 1_000, 50), CpuTimes(110, 1_014, 59)
    assert before.others_until(after) == pytest.approx(5 / 20)
    # With the 4 s of a second rank, 13 s are not of others.
    assert before.others_until(after, own=13) == pytest.approx(1 / 20)
    # The system counts in hundredths of a second, so the difference can be below zero.
    assert before.others_until(after, own=14.02) == 0


def test_what_cannot_be_measured_is_not_known() -> None:
    before = CpuTimes(100, 1_000, 50)
    assert before.others_until(CpuTimes(100.9, 1_001, 50)) is None
    assert before.others_until(CpuTimes(110, None, 59)) is None
    assert CpuTimes(100, None, 50).others_until(CpuTimes(110, 1_014, 59)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_times_of_this_machine() -> None:
    before = CpuTimes.now()
    sum(range(10_000_000))
    after = CpuTimes.now()
    assert before.machine is not None
    assert after.machine is not None
    assert after.machine >= before.machine >= before.own > 0
    assert after.own > before.own
