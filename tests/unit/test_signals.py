"""Signals that a script ignores for its programs in the background are not ignored by the programs
that they start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

# Both print how a program that they start reacts to SIGINT.
SHOW = "import signal; print(signal.getsignal(signal.SIGINT), flush=True)"
TEST = f"""
import subprocess, sys
from tests.support.signals import start_programs_with_default_signals
start_programs_with_default_signals()
subprocess.run([sys.executable, "-c", {SHOW!r}], check=True)
"""
DEV = f"""
import os, sys
from media_service.cli.supervisor import Supervisor
with Supervisor() as processes:
    processes.start("program", [sys.executable, "-c", {SHOW!r}], os.environ, sys.stdout.buffer)
    processes.processes["program"].process.wait()
"""


def in_background(program: str) -> str:
    """Runs a program with SIGINT ignored, and returns its output."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_a_test_in_the_background_can_interrupt_what_it_starts() -> None:
    assert "default_int_handler" in in_background(TEST)


def test_what_dev_starts_in_the_background_can_be_interrupted() -> None:
    assert "default_int_handler" in in_background(DEV)
