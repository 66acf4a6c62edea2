"""Builds both distributions, and installs them into environments that have nothing else."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"
SERVER = ROOT
# What the image installs, and what development needs besides.
RUNTIME, DEVELOPMENT = "requirements-runtime.lock", "requirements.lock"
BUILD_SECONDS = 120
INSTALL_SECONDS = 300


def build(project: Path, folder: Path, *targets: str) -> None:
    """A wheel and a source distribution, or only `targets`, in a new folder."""
    chosen = [option for target in targets for option in ("-t", target)]
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", folder]
    subprocess.run(command, cwd=project, check=True, timeout=BUILD_SECONDS, capture_output=True)


def environment_with(folder: Path, *wheels: Path | str, lock: str = RUNTIME) -> Path:
    """The Python of a new environment that has the wheels, and what they depend on, in the
    versions of a lock file. A wheel may name extras: `x.whl[extra]`."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    python = folder / "bin/python"
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run(
        [*command, "--constraint", ROOT / lock, *wheels], check=True, timeout=INSTALL_SECONDS
    )
    return python
