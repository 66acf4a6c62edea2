"""Tests that run in several processes count like those that run in one."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
CONFTEST = """
import os
import pytest
from tests.support.processes import Processes

def pytest_configure(config):
    config.pluginmanager.register(Processes(2, {"test_c.py": "b", "test_b.py": "b"}))

@pytest.fixture(scope="session")
def shared():
    yield os.getpid()
    assert False, "the session ends badly"
"""
FIRST = """
import os, signal
def test_passes(): print("hidden")
def test_dies(): os.kill(os.getpid(), signal.SIGKILL)
def test_never_runs(): pass
"""
SECOND = """
import os
import pytest
def test_passes(shared, tmp_path): os.environ["SEEN"] = str(shared)
def test_fails(): print("shown"); assert 1 == 2
"""
THIRD = """
import os
import pytest
def test_the_same_process(shared): assert os.environ["SEEN"] == str(shared) == str(os.getpid())
@pytest.mark.skip(reason="no reason")
def test_skipped(): pass
"""


ORDINARY = "def test_passes(): pass"


def test_failures_deaths_and_ends_of_sessions_are_reported(tmp_path: Path) -> None:
    files = {"conftest": CONFTEST, "test_a": FIRST, "test_b": SECOND, "test_c": THIRD}
    # Each process goes from one folder to another.
    files |= dict.fromkeys(("a/test_d", "b/test_e", "a/test_f", "test_g"), ORDINARY)
    for name, text in files.items():
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfEs"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "2 failed, 7 passed, 1 skipped, 1 error" in done.stdout
    assert "ended with -9" in done.stdout
    assert "test_a.py::test_dies" in done.stdout
    assert "shown" in done.stdout
    assert "hidden" not in done.stdout
    assert "the session ends badly" in done.stdout
