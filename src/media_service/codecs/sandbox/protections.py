"""What the sandbox needs from this machine."""

import platform
import sys

from media_service.codecs.sandbox import landlock, seccomp


def lacking() -> list[str]:
    """What this machine lacks, each with what a hostile media file can do without it."""
    if sys.platform != "linux":
        return [
            "Landlock, seccomp and a memory limit (only Linux has them): a hostile media file can"
            " do all that the service can"
        ]
    missing = []
    if not landlock.version():
        missing.append(
            "Landlock (Linux 5.13 or newer, enabled at boot): a hostile media file can read and"
            " change every file that the service can, including keys and other media"
        )
    if not seccomp.supported():
        missing.append(
            "seccomp filters (on x86_64 and aarch64): a hostile media file can use the network and"
            " run programs"
        )
    return missing


def kernel() -> str:
    return f"{platform.system()} {platform.release()}"
