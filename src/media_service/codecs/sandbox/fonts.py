"""The fonts of a child: Roboto, which comes with the service, for whatever a drawing asks for. The
machine's own are not seen, so that a picture looks the same on all of them."""

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
    """A configuration of fontconfig, in `folder`."""
    config = folder / "fonts.conf"
    cache = folder / "fonts"
    config.write_text(CONFIG.format(fonts=escape(str(font_folder())), cache=escape(str(cache))))
    return config


def font_folder() -> Path:
    package = find_spec("font_roboto")
    if package is None or package.origin is None:
        raise RuntimeError("the package font-roboto is missing")
    return Path(package.origin).parent.resolve() / "files"
