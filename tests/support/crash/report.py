"""The tables of docs/crash.md: the promise at each failpoint, and the results of a soak."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from media_service.failpoints import REGISTRY

DOCUMENT = Path(__file__).parents[3] / "docs/crash.md"


def promises() -> str:
    """The failpoints of the registry, grouped by promise."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for point in REGISTRY:
        row = (f"`{point.name}`", f"`{point.process}`", point.where)
        groups.setdefault(point.promise, []).append(row)
    head = ("failpoint", "killed", "what was done")
    return "\n\n".join(f"**{promise}**\n\n{table(head, rows)}" for promise, rows in groups.items())


def results(kills: Mapping[str, int], broken: Mapping[str, int]) -> str:
    names = [failpoint.name for failpoint in REGISTRY]
    others = sorted(set(kills) - set(names))
    rows = [
        (f"`{name}`" if name in names else name, str(kills.get(name, 0)), str(broken.get(name, 0)))
        for name in [*names, *others]
    ]
    rows.append(("all", str(sum(kills.values())), str(sum(broken.values()))))
    return table(("failpoint", "kills", "promises broken"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between(text: str, name: str) -> tuple[str, str, str]:
    """The text before, between and after the markers of a table."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    inside, _, after = rest.partition(end)
    return before + begin, inside, end + after


def write(name: str, content: str) -> None:
    """Writes a table between its markers in the document."""
    before, _, after = between(DOCUMENT.read_text(), name)
    DOCUMENT.write_text(before + content + after)


if __name__ == "__main__":
    write("promises", promises())
