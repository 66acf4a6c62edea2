"""Parses and applies the diffs in docs/contributing.md.

A diff names its files with `---`. In an existing file, `@@` separates hunks. The lines of a hunk
that start with a space or a minus must occur exactly once in the file.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def recipes(page: str) -> Mapping[str, str]:
    """The diff of each section, by its title."""
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return {
        title: diff[1]
        for title, text in sections
        if (diff := re.search(r"^```diff\n(.*?)^```$", text, re.M | re.S))
    }


def apply(diff: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yields the path of each file, and its text after the change. Changes nothing."""
    for part in re.split(r"^--- ", diff, flags=re.M)[1:]:
        path, _, body = part.partition("\n")
        file = root / path
        if not file.exists():
            yield path, "".join(line[1:] for line in body.splitlines(keepends=True))
            continue
        text = file.read_text()
        for hunk in body.split("@@\n"):
            text = apply_hunk(text, hunk)
        yield path, text


def apply_hunk(text: str, hunk: str) -> str:
    """Applies a hunk. Raises ValueError unless it matches the text exactly once."""
    lines = [line or " " for line in hunk.splitlines()]
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
    if f"\n{text}".count(f"\n{before}") != 1:
        raise ValueError(f"does not match exactly once:\n{hunk}")
    return f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
