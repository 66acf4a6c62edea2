"""Office documents become PDF by LibreOffice, if the machine has it.

It runs as a library (LibreOfficeKit) in a child of ours: so it needs no socket and no process of
its own, which as a program it does, and is confined like all that opens media.
"""

import os
import shutil
import tempfile
from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from media_service.codecs.sandbox.fonts import font_folder
from media_service.errors import InvalidArgument, Reason

# Those it converts, and what their files are called.
SUFFIXES = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
}
# As Debian has it, and as it comes from its makers.
LIBRARIES = ("libmergedlo.so", "libsofficeapp.so")
# The machine's fonts, and which of them stand in for others: in those a document asks for, lines
# break where its author saw them break.
FONTS = tuple(
    Path(folder)
    for folder in (
        *("/etc/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig"),
        *("/usr/share/fonts", "/usr/local/share/fonts"),
    )
)
FONT_CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{ours}</dir>
</fontconfig>
"""
# Of Debian, to which its folder has links.
SETTINGS = (Path("/etc/libreoffice"), Path("/var/lib/libreoffice"), Path("/var/spool/libreoffice"))
# Nobody is there to be asked anything.
OPTIONS = b"Batch=true"


class DocumentClass(Structure):
    """The beginning of `struct _LibreOfficeKitDocumentClass`, to which others are only added."""

    _fields_ = (
        ("size", c_size_t),
        ("destroy", c_void_p),
        ("save_as", CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, c_char_p)),
    )


class Document(Structure):
    _fields_ = (("of", POINTER(DocumentClass)),)


class KitClass(Structure):
    """The beginning of `struct _LibreOfficeKitClass`."""

    _fields_ = (
        ("size", c_size_t),
        ("destroy", c_void_p),
        ("load", c_void_p),
        ("error", c_void_p),
        ("load_with_options", CFUNCTYPE(POINTER(Document), c_void_p, c_char_p, c_char_p)),
    )


class Kit(Structure):
    _fields_ = (("of", POINTER(KitClass)),)


def installed() -> Path | None:
    """The folder of LibreOffice's programs and libraries; None: there is none."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    folder = Path(program).resolve().parent if program else None
    return folder if folder and any((folder / name).exists() for name in LIBRARIES) else None


def needed(programs: Path) -> tuple[Path, ...]:
    """The folders that it reads."""
    return (programs.parent, *SETTINGS, *FONTS)


def convert(media: int, output: int, *, programs: str, suffix: str) -> None:
    """Writes a document as a PDF; `programs`: where LibreOffice is. Runs in a child, once.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    here = Path.cwd()
    original, result = here / f"document.{suffix}", here / "document.pdf"
    with os.fdopen(os.dup(media), "rb") as file, original.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    fonts = here / "fonts.conf"
    fonts.write_text(FONT_CONFIG.format(ours=escape(str(font_folder()))))
    os.environ["FONTCONFIG_FILE"] = str(fonts)
    # It writes there until it is killed, so not where the child removes what a task has left.
    kit = started(Path(programs), Path(tempfile.gettempdir()) / "profile")
    document = kit.contents.of.contents.load_with_options(kit, url(original), OPTIONS)
    if not document:
        raise corrupt("LibreOffice cannot open it; it may be damaged, or need a password.")
    if not document.contents.of.contents.save_as(document, url(result), b"pdf", None):
        raise corrupt("LibreOffice cannot write it as a PDF.")
    with result.open("rb") as made, os.fdopen(os.dup(output), "wb") as file:
        shutil.copyfileobj(made, file)


def started(programs: Path, profile: Path) -> Any:
    """A pointer to a `Kit`."""
    library = next(programs / name for name in LIBRARIES if (programs / name).exists())
    start = CDLL(str(library)).libreofficekit_hook_2
    start.argtypes = (c_char_p, c_char_p)
    start.restype = POINTER(Kit)
    kit = start(os.fsencode(programs), url(profile))
    if not kit:
        raise RuntimeError("LibreOffice does not start")
    return kit


def url(path: Path) -> bytes:
    return path.as_uri().encode()


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)
