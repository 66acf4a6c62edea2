"""The fonts of a child process: Roboto, which the service includes, and for Chinese, Japanese and
Korean text those of a Debian package, if it is installed. The machine's other fonts are hidden, so
that an image looks the same on every machine."""

from html import escape
from importlib.util import find_spec
from pathlib import Path

# The folder of the Debian package fonts-wqy-microhei.
CJK_FONTS = Path("/usr/share/fonts/truetype/wqy")

CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <dir>{cjk}</dir>
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
    fonts = escape(str(font_folder()))
    config.write_text(CONFIG.format(fonts=fonts, cjk=CJK_FONTS, cache=escape(str(cache))))
    return config


def font_folder() -> Path:
    package = find_spec("font_roboto")
    if package is None or package.origin is None:
        raise RuntimeError("the package font-roboto is missing")
    return Path(package.origin).parent.resolve() / "files"
