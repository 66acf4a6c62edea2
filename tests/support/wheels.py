"""Builds both distributions, and installs them into empty environments."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"
SERVER = ROOT
# The dependencies of the image, and those of development.
RUNTIME, DEVELOPMENT = "requirements-runtime.lock", "requirements.lock"
UV = Path(sysconfig.get_path("scripts")) / "uv"
BUILD_SECONDS = 120
INSTALL_SECONDS = 300


def build(project: Path, folder: Path, *targets: str) -> None:
    """Builds a wheel and a source distribution, or only `targets`, into a new folder."""
    chosen = [option for target in targets for option in ("-t", target)]
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", folder]
    subprocess.run(command, cwd=project, check=True, timeout=BUILD_SECONDS, capture_output=True)


def environment_with(folder: Path, *wheels: Path) -> Path:
    """The Python of a new environment with the wheels and their dependencies."""
    python = folder / "bin/python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install(python, *wheels)
    return python


def install(python: Path, *wheels: Path | str, lock: str = RUNTIME) -> None:
    """Adds wheels and their dependencies, in the versions of a lock file. A wheel may name
    extras: `x.whl[extra]`."""
    command: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", python]
    subprocess.run(
        [*command, "--constraint", ROOT / lock, *wheels], check=True, timeout=INSTALL_SECONDS
    )
