"""Builds both distributions, and installs them into environments that have nothing else."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"
SERVER = ROOT
BUILD_SECONDS = 120
INSTALL_SECONDS = 300


def build(project: Path, folder: Path, *targets: str) -> None:
    """A wheel and a source distribution, or only `targets`, in a new folder."""
    chosen = [option for target in targets for option in ("-t", target)]
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", folder]
    subprocess.run(command, cwd=project, check=True, timeout=BUILD_SECONDS, capture_output=True)


def environment_with(folder: Path, *wheels: Path) -> Path:
    """The Python of a new environment that has the wheels, and what they depend on, in the
    versions of the lock file."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    python = folder / "bin/python"
    lock = ROOT / "requirements-runtime.lock"
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([*command, "--constraint", lock, *wheels], check=True, timeout=INSTALL_SECONDS)
    return python
