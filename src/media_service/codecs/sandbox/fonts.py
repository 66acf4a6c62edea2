"""The fonts of a child process. Only Roboto is available, which the service includes. The machine's
fonts are hidden, so that an image looks the same on every machine."""

from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import escape

CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
  <match target="pattern">
    <edit name="family" mode="append" binding="strong"><string>Roboto</string></edit>
  </match>
</fontconfig>
"""


def write_config(folder: Path) -> Path:
    """Writes a fontconfig configuration to `folder`."""
    config = folder / "fonts.conf"
    cache = folder / "fonts"
    config.write_text(CONFIG.format(fonts=escape(str(font_folder())), cache=escape(str(cache))))
    return config


def font_folder() -> Path:
    package = find_spec("font_roboto")
    if package is None or package.origin is None:
        raise RuntimeError("the package font-roboto is missing")
    return Path(package.origin).parent.resolve() / "files"
