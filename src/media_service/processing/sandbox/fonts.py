"""The fonts of a child: Roboto, which comes with the service, for whatever a drawing asks for. The
machine's own are not seen, so that a picture looks the same on all of them; except by office
documents, whose lines would break elsewhere."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import escape

CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  {fonts}
  <cachedir>{cache}</cachedir>
  <match target="pattern">
    <edit name="family" mode="append" binding="strong"><string>Roboto</string></edit>
  </match>
</fontconfig>
"""


def write_config(folder: Path, others: Iterable[Path] = ()) -> Path:
    """A configuration of fontconfig, in `folder`. `others`: folders of fonts that are seen too."""
    config = folder / "fonts.conf"
    cache = folder / "fonts"
    fonts = "".join(f"<dir>{escape(str(each))}</dir>" for each in [font_folder(), *others])
    config.write_text(CONFIG.format(fonts=fonts, cache=escape(str(cache))))
    return config


def font_folder() -> Path:
    package = find_spec("font_roboto")
    if package is None or package.origin is None:
        raise RuntimeError("the package font-roboto is missing")
    return Path(package.origin).parent.resolve() / "files"
