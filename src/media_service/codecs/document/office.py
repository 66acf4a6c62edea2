"""Converts office documents to PDF with LibreOffice, if it is installed.

LibreOffice runs as a library (LibreOfficeKit) in a child process, because the program would need a
socket and further processes. Therefore, it is confined like all other code that opens media.
"""

import os
import shutil
import tempfile
from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_void_p
from html import escape
from pathlib import Path
from typing import Any

from media_service.codecs.sandbox.fonts import font_folder
from media_service.errors import InvalidArgument, Reason

# The file name suffix of each content type that it converts.
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
# The first in Debian, the second in the packages of The Document Foundation.
LIBRARIES = ("libmergedlo.so", "libsofficeapp.so")
# The fonts of the machine and their substitution rules. With the fonts of a document, lines break
# as its author intended.
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
  <dir>{bundled}</dir>
</fontconfig>
"""
# In Debian, the installation has links to these.
SETTINGS = (Path("/etc/libreoffice"), Path("/var/lib/libreoffice"), Path("/var/spool/libreoffice"))
# Show no dialogs.
OPTIONS = b"Batch=true"


class DocumentClass(Structure):
    """The beginning of `struct _LibreOfficeKitDocumentClass`. New members are only appended."""

    _fields_ = (
        ("size", c_size_t),
        ("destroy", c_void_p),
        ("save_as", CFUNCTYPE(c_int, c_void_p, c_char_p, c_char_p, c_char_p)),
    )


class Document(Structure):
    _fields_ = (("methods", POINTER(DocumentClass)),)


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
    _fields_ = (("methods", POINTER(KitClass)),)


def installed() -> Path | None:
    """Returns the folder of LibreOffice's programs and libraries, or None if it is not
    installed."""
    program = shutil.which("soffice") or shutil.which("libreoffice")
    folder = Path(program).resolve().parent if program else None
    return folder if folder and any((folder / name).exists() for name in LIBRARIES) else None


def readable_folders(programs: Path) -> tuple[Path, ...]:
    """The folders that LibreOffice reads."""
    return (programs.parent, *SETTINGS, *FONTS)


def convert(media: int, output: int, *, programs: str, suffix: str) -> None:
    """Writes a document to `output` as a PDF. `programs` is the folder of LibreOffice's programs.
    Runs once per child process.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    here = Path.cwd()
    original, result = here / f"document.{suffix}", here / "document.pdf"
    with os.fdopen(os.dup(media), "rb") as file, original.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    fonts = here / "fonts.conf"
    fonts.write_text(FONT_CONFIG.format(bundled=escape(str(font_folder()))))
    os.environ["FONTCONFIG_FILE"] = str(fonts)
    # Not in the task's folder, which the child removes while LibreOffice is still writing.
    kit = start_kit(Path(programs), Path(tempfile.gettempdir()) / "profile")
    document = kit.contents.methods.contents.load_with_options(kit, url(original), OPTIONS)
    if not document:
        message = "LibreOffice cannot open the document; it may be damaged, or need a password."
        raise corrupt(message)
    if not document.contents.methods.contents.save_as(document, url(result), b"pdf", None):
        raise corrupt("LibreOffice cannot convert the document to PDF.")
    with result.open("rb") as pdf, os.fdopen(os.dup(output), "wb") as file:
        shutil.copyfileobj(pdf, file)


def start_kit(programs: Path, profile: Path) -> Any:
    """Starts LibreOffice. Returns a pointer to a `Kit`."""
    library = next(programs / name for name in LIBRARIES if (programs / name).exists())
    hook = CDLL(str(library)).libreofficekit_hook_2
    hook.argtypes = (c_char_p, c_char_p)
    hook.restype = POINTER(Kit)
    kit = hook(os.fsencode(programs), url(profile))
    if not kit:
        raise RuntimeError("LibreOffice does not start")
    return kit


def url(path: Path) -> bytes:
    return path.as_uri().encode()


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)
