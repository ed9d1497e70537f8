"""Machines tell of themselves, with a GPU and without."""

import platform

from tessera.machines import line, machine, read_back

CPUINFO = (
    "processor\t: 0\nmodel name\t: A Processor @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n"
)
DRIVER = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 11.4.0
"""
OPEN_DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"


def test_a_machine_without_a_gpu(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    known = machine(tmp_path)
    assert known["host"] == platform.node()
    assert known["processor"] == "A Processor @ 3 GHz"
    assert known["cpus"] >= 1
    assert "gpus" not in known


def test_gpus_and_driver_are_told(tmp_path):
    for number in (0, 1):
        card = tmp_path / f"driver/nvidia/gpus/0000:0{number}:00.0/information"
        card.parent.mkdir(parents=True)
        card.write_text(f"Model: \t\t A Card {number}\nIRQ:   \t 1\n", encoding="utf-8")
    version = tmp_path / "driver/nvidia/version"
    for text, driver in ((DRIVER, "535.104.05"), (OPEN_DRIVER, "570.86.15")):
        version.write_text(text, encoding="utf-8")
        known = machine(tmp_path)
        assert known["gpus"] == ["A Card 0", "A Card 1"]
        assert known["driver"] == driver


def test_a_system_that_tells_nothing(tmp_path):
    assert machine(tmp_path / "nowhere")["python"] == platform.python_version()


def test_a_log_gives_the_machine_back():
    known = machine()
    log = f"2026-01-01 00:00:00 {line({'host': 'before'})}\n2026-01-01 00:00:01 {line(known)}\nend"
    assert read_back(log) == known
    assert read_back("no machine here\nmachine of the user\n") is None
    assert read_back('machine {"host": \n') is None
