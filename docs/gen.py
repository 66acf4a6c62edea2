"""Generates docs/operations.md and its images from the comments and rules of the contract, and
docs/formats.md from the types that the codecs read.

`python -m docs.gen` writes the files. With `--check`, it fails if the page or an image is outdated.
"""

import argparse
import asyncio
import sys
import tempfile
import textwrap
from pathlib import Path

import pyvips

from docs import formats_page
from docs.scene import logo, scene
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.catalogue import OperationManual, Parameter, catalogue
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.codecs.sandbox.forks import ForkServer

DOCS = Path(__file__).parent
SIZE = (240, 160)
LOGO = "0190163d-8694-739b-aea5-966c26f8ad91"
# The contract's examples are for photos. These suit an image of this size.
EXAMPLES = {
    "resize": "resize:120x120:fit=COVER",
    "crop": "crop:100x120:gravity=ATTENTION",
    "trim": "pad:20:background=336699,trim:10",
    "text": "text:© Jane Doe:color=ffffff:size=0.12",
    "compose": f"compose:{LOGO}:x=40:y=30:width=150:blend=MULTIPLY",
}
# The tolerated mean difference between versions of an encoder.
TOLERANCE = 2.0

HEAD = """# Operations

A pipeline is a list of operations: `resize:800x600,clarendon,compress:85`. An operation is its name, followed by its
parameters after colons: in their order (`blur:2`), by name (`crop:300x200:gravity=NORTH`), or both; `tile` alone is
`tile=true`. `WxH` stands for a width and a height, of which one may be missing. The name of a filter alone stands for
`filter:NAME`. In values, `~2C`, `~3A`, `~3D` and `~7E` stand for a comma, a colon, an equals sign and a tilde.
[operations-text.md](operations-text.md) has the whole grammar. ListOperations returns all operations with their
parameters, for programs.

An operation takes the result of the one before it, which must be media of a kind that it supports:
`frame:5,resize:400x` extracts a frame of a video, and then resizes it.
"""
# The introduction to the operations on each kind of media.
INTRODUCTIONS = {
    "IMAGE": """
# Images

Every image is rotated upright and converted to sRGB before the first operation. This is the original of the examples:

![the original](operations/original.webp)
""",
    "VIDEO": """
# Videos

Times are in seconds. A pipeline that only edits a video (`clip`, `speed`, `mute`, `normalize`, `watermark`) ends with a
`transcode` with its defaults. A `transcode` sets the encoding of the result, wherever in the pipeline it is.
""",
    "AUDIO": """
# Audio
""",
    "DOCUMENT": """
# Documents
""",
}
FILTERS = """
## Filters

The recipe of each filter is in `codecs/image/colors/filters.py`. Most follow
[CSSgram](https://github.com/una/CSSgram) by Una Kravets (MIT license), and look like it does in a browser. `amount`
blends the result with the original: `moon:0.5`.

"""


def images() -> dict[str, str]:
    """The pipeline of each image, by image name."""
    shown = {m.name: EXAMPLES.get(m.name, m.example) for m in catalogue() if has_image(m)}
    names = fields.filters()
    return {"original": "", **shown, **{f"filter_{name}": name for name in names}}


def manual() -> str:
    parts = [HEAD]
    for kind, about in INTRODUCTIONS.items():
        parts += [about, *(section(each) for each in catalogue() if each.input_kinds[0] == kind)]
        if kind == "IMAGE":
            parts += filters()
    return "".join(parts)


def filters() -> list[str]:
    parts = [FILTERS]
    names = [name for name in images() if name.startswith("filter_")]
    for start in range(0, len(names), 2):
        row = names[start : start + 2]
        titles = [f"`{name.removeprefix('filter_')}`" for name in row]
        cells = [f"![{name}](operations/{name}.webp)" for name in row]
        rule = ["|---|---|"] if start == 0 else []
        parts.append("\n".join([line(titles), *rule, line(cells)]) + "\n")
    return parts


def has_image(operation: OperationManual) -> bool:
    """Whether an operation has an example image."""
    return "IMAGE" in operation.input_kinds and operation.name not in OUTPUT_OPERATIONS


def section(operation: OperationManual) -> str:
    shown = EXAMPLES.get(operation.name, operation.example)
    description = textwrap.fill(operation.description, 120, break_on_hyphens=False)
    lines = [f"\n## {operation.name}", "", description, "", f"`{shown}`", ""]
    if operation.input_kinds != ("IMAGE",):
        lines += [kinds(operation), ""]
    if has_image(operation):
        lines += [f"![{operation.name}](operations/{operation.name}.webp)", ""]
    if operation.parameters:
        lines += [parameter(each) for each in operation.parameters]
    return "\n".join(lines) + "\n"


def kinds(operation: OperationManual) -> str:
    """A sentence about the kinds of media that an operation takes and returns."""
    text = f"Takes {' or '.join(operation.input_kinds)}"
    if operation.output_kind:
        text += f", returns {operation.output_kind}"
    return f"{text}; must be the last operation." if operation.ends_pipeline else f"{text}."


def parameter(each: Parameter) -> str:
    values = each.kind
    if each.values:
        values = "one of " + ", ".join(each.values)
    elif each.minimum or each.maximum:
        values = f"{each.kind}, {each.minimum} to {each.maximum}"
    default = f"; default `{each.default}`" if each.default else ""
    text = f"- `{each.name}` ({values}{default}): {each.description}"
    return textwrap.fill(text, 120, subsequent_indent="  ", break_on_hyphens=False)


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


async def draw(folder: Path) -> None:
    """Renders all images with the service's renderer."""
    sources = {}
    for name, image in (("original", scene(*SIZE)), ("logo", logo())):
        path = folder / f"{name}.png"
        image.pngsave(str(path))
        sources[name] = ImageSource(path, "image/png", image.width, image.height, 1)
    async with (
        ForkServer() as fork_server,
        ImageRenderer(fork_server, 2, 10_000_000, 1 << 28) as renderer,
    ):
        for name, pipeline in images().items():
            parsed = parsed_pipeline(f"{pipeline},convert:WEBP:75:effort=6".removeprefix(","))
            overlays = dict.fromkeys(parsed.overlays, sources["logo"])
            async with renderer.render(sources["original"], parsed, overlays=overlays) as image:
                (folder / f"{name}.webp").write_bytes(image.path.read_bytes())


def stale(fresh: Path) -> list[str]:
    """The names of outdated files."""
    pages = {"operations.md": manual(), "formats.md": formats_page.page()}
    found = [name for name, text in pages.items() if (DOCS / name).read_text() != text]
    kept = {path.stem for path in (DOCS / "operations").glob("*")}
    found += sorted(kept ^ set(images()))
    return found + [name for name in images() if name in kept and differs(fresh, name)]


def differs(fresh: Path, name: str) -> bool:
    one, other = (
        pyvips.Image.new_from_file(str(folder / f"{name}.webp"))
        for folder in (fresh, DOCS / "operations")
    )
    same = (one.width, one.height, one.bands) == (other.width, other.height, other.bands)
    return not same or (one - other).abs().avg() > TOLERANCE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if outdated")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        asyncio.run(draw(fresh))
        if check:
            if names := stale(fresh):
                sys.exit(f"docs are outdated, run `make docs`: {', '.join(names)}")
            return
        (DOCS / "operations").mkdir(exist_ok=True)
        for path in (DOCS / "operations").glob("*"):
            path.unlink()
        for name in images():
            (DOCS / "operations" / f"{name}.webp").write_bytes(
                (fresh / f"{name}.webp").read_bytes()
            )
        (DOCS / "operations.md").write_text(manual())
        (DOCS / "formats.md").write_text(formats_page.page())


if __name__ == "__main__":
    main()
