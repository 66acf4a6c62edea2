"""Writes docs/operations.md and its pictures, from what the contract says of operations.

`python -m docs.gen` writes; with `--check` it fails if the text or a picture is stale.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import pyvips

from docs.scene import logo, scene
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.catalogue import OperationManual, Parameter, catalogue
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS, canonical_text
from media_service.codecs.pipeline.validation import parse

DOCS = Path(__file__).parent
SIZE = (240, 160)
LOGO = "0190163d-8694-739b-aea5-966c26f8ad91"
# Examples of the contract are for photos; these are for a picture of this size.
SHOWN = {
    "resize": "resize:120x120:fit=COVER",
    "crop": "crop:100x120:gravity=ATTENTION",
    "trim": "pad:20:background=336699,trim:10",
    "text": "text:© Jane Doe:color=ffffff:size=0.12",
    "compose": f"compose:{LOGO}:x=40:y=30:width=150:blend=MULTIPLY",
}
# Means of what encoders of different versions may make of the same picture.
ALIKE = 2.0

HEAD = """# Operations

A pipeline is a list of operations. In the short text form they are separated by commas:
`resize:800x600,clarendon,compress:85`. An operation is its name and then, after colons, its parameters: in their order (`blur:2`), by name
(`crop:300x200:gravity=NORTH`), or both; `tile` alone is `tile=true`. `WxH` stands for a width and a height, of which one may be missing. The name of a filter alone
stands for `filter:NAME`. In text, `%2C`, `%3A`, `%3D` and `%25` stand for a comma, a colon, an equals sign and a percent sign. ListOperations tells all of this to programs.

An operation takes media of certain kinds, and gives the same kind, unless it says what it makes: `frame:5,resize:400x` makes a picture of a film, and then a smaller one.
"""
# What is said of the media of each kind, before the operations that are foremost for it.
KINDS = {
    "IMAGE": """
# Pictures

Every picture begins upright and in sRGB. This one is the original:

![the original](operations/original.webp)
""",
    "VIDEO": """
# Films

Times are in seconds. What only changes a film (`clip`, `speed`, `mute`, `normalize`, `watermark`) is followed by a `transcode` with its defaults, if nothing else follows; a `transcode` says how the
film is encoded, wherever in the pipeline it is. A `clip` behind a `speed` counts the seconds as they are played then.
""",
    "AUDIO": """
# Sounds
""",
    "DOCUMENT": """
# Documents
""",
}
FILTERS = """
## Filters

Recipes, each a list of steps, are in `codecs/image/colors/filters.py`. Most follow [CSSgram](https://github.com/una/CSSgram) by Una Kravets (MIT licence), and show what
a browser shows of it. `amount` mixes a filter with the original: `moon:0.5`.

"""


def pictures() -> dict[str, str]:
    """The pipeline of each picture, by its name."""
    shown = {m.name: SHOWN.get(m.name, m.example) for m in catalogue() if has_picture(m)}
    names = [name.lower() for name in fields.enum_names(fields.FILTERS.DESCRIPTOR)]
    return {"original": "", **shown, **{f"filter_{name}": name for name in names}}


def manual() -> str:
    parts = [HEAD]
    for kind, about in KINDS.items():
        parts += [about, *(section(each) for each in catalogue() if each.input_kinds[0] == kind)]
        if kind == "IMAGE":
            parts += filters()
    return "".join(parts)


def filters() -> list[str]:
    parts = [FILTERS]
    names = [name for name in pictures() if name.startswith("filter_")]
    for start in range(0, len(names), 3):
        row = names[start : start + 3]
        titles = [f"`{name.removeprefix('filter_')}`" for name in row]
        cells = [f"![{name}](operations/{name}.webp)" for name in row]
        rule = ["|---|---|---|"] if start == 0 else []
        parts.append("\n".join([line(titles), *rule, line(cells)]) + "\n")
    return parts


def has_picture(operation: OperationManual) -> bool:
    """Whether what it does can be seen in a picture."""
    return "IMAGE" in operation.input_kinds and operation.name not in OUTPUT_OPERATIONS


def section(operation: OperationManual) -> str:
    shown = SHOWN.get(operation.name, operation.example)
    lines = [f"\n## {operation.name}", "", operation.description, "", f"`{shown}`", ""]
    if operation.input_kinds != ("IMAGE",):
        lines += [kinds(operation), ""]
    if has_picture(operation):
        lines += [f"![{operation.name}](operations/{operation.name}.webp)", ""]
    if operation.parameters:
        lines += [line(["parameter", "what it is", "values", "default"]), "|---|---|---|---|"]
        lines += [parameter(each) for each in operation.parameters]
    return "\n".join(lines) + "\n"


def kinds(operation: OperationManual) -> str:
    """What it takes and gives, where that is not just a picture."""
    said = f"Takes {' or '.join(operation.input_kinds)}"
    if operation.output_kind:
        said += f", makes {operation.output_kind}"
    return f"{said}; nothing can follow it." if operation.ends_pipeline else f"{said}."


def parameter(each: Parameter) -> str:
    values = each.kind
    if each.values:
        values = ", ".join(each.values)
    elif each.minimum or each.maximum:
        values = f"{each.kind}, {each.minimum} to {each.maximum}"
    default = f"`{each.default}`" if each.default else ""
    return line([f"`{each.name}`", each.description, values, default])


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


async def draw(folder: Path) -> None:
    """Makes all pictures, as the service does."""
    sources = {}
    for name, image in (("original", scene(*SIZE)), ("logo", logo())):
        path = folder / f"{name}.png"
        image.pngsave(str(path))
        sources[name] = ImageSource(path, "image/png", image.width, image.height, 1)
    async with ImageRenderer(2, 10_000_000, 1 << 28) as renderer:
        for name, pipeline in pictures().items():
            text = canonical_text(parse(f"{pipeline},convert:WEBP:75:effort=6".removeprefix(",")))
            overlays = {LOGO: sources["logo"]} if LOGO in text else {}
            async with renderer.render(sources["original"], text, overlays=overlays) as made:
                (folder / f"{name}.webp").write_bytes(made.path.read_bytes())


def stale(fresh: Path) -> list[str]:
    """What is not as it would be made today."""
    found = [] if (DOCS / "operations.md").read_text() == manual() else ["operations.md"]
    kept = {path.stem for path in (DOCS / "operations").glob("*")}
    found += sorted(kept ^ set(pictures()))
    return found + [name for name in pictures() if name in kept and differs(fresh, name)]


def differs(fresh: Path, name: str) -> bool:
    one, other = (
        pyvips.Image.new_from_file(str(folder / f"{name}.webp"))
        for folder in (fresh, DOCS / "operations")
    )
    same = (one.width, one.height, one.bands) == (other.width, other.height, other.bands)
    return not same or (one - other).abs().avg() > ALIKE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as made:
        fresh = Path(made)
        asyncio.run(draw(fresh))
        if check:
            if names := stale(fresh):
                sys.exit(f"docs are stale, run `make docs`: {', '.join(names)}")
            return
        (DOCS / "operations").mkdir(exist_ok=True)
        for path in (DOCS / "operations").glob("*"):
            path.unlink()
        for name in pictures():
            (DOCS / "operations" / f"{name}.webp").write_bytes(
                (fresh / f"{name}.webp").read_bytes()
            )
        (DOCS / "operations.md").write_text(manual())


if __name__ == "__main__":
    main()
