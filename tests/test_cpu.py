"""The name of the CPU, from made-up texts of /proc/cpuinfo."""

import sys
from pathlib import Path

import pytest

from asrbench.base.cpu import cpu_name, this_cpu

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
