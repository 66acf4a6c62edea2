"""The report: a table of ratios, CPU time by role, and the same as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A timed candidate: its runs, and its CPU time per unit of work by role."""

    name: str
    unit: str
    runs: Sequence[float]
    cpu_unit: str
    cpu: Mapping[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure beside its limit. `target` is the required ratio, or None for information only."""

    figure: str
    unit: str
    target: float | None
    at_most: bool = False
    measured: float
    limit: float
    limit_name: str
    # CPU time of the server alone. Empty where it is not meaningful.
    server_cpu: str = ""
    bare_cpu: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.limit

    @property
    def verdict(self) -> str:
        if self.target is None:
            return "info"
        good = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "pass" if good else "short"


@dataclass(frozen=True)
class Outcome:
    rows: Sequence[Row]
    contenders: Sequence[Contender] = ()
    notes: Sequence[str] = field(default=())


def versus(
    figure: str, target: float | None, measured: Contender, limit: Contender, bare: Contender | None
) -> Row:
    """A row of two rates. The CPU time of `bare`'s server is shown beside the measured one."""
    return Row(
        figure=figure,
        unit=measured.unit,
        target=target,
        measured=measured.median,
        limit=limit.median,
        limit_name=limit.name,
        server_cpu=f"{measured.cpu['server']:.2f} {measured.cpu_unit}",
        bare_cpu=f"{bare.cpu['server']:.2f} {bare.cpu_unit}" if bare else "",
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A plain-text table: the first column is left-aligned, the others right-aligned."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    out = []
    for line in (head, ["-" * width for width in widths], *lines):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def ratios(rows: Sequence[Row]) -> str:
    head = ["figure", "target", "measured", "limit", "of", "ratio", ""]
    lines = []
    for row in rows:
        target = "" if row.target is None else f"{'≤' if row.at_most else '≥'} {row.target:.2f}"
        numbers = [f"{row.measured:.0f} {row.unit}", f"{row.limit:.0f} {row.unit}"]
        cpu = [row.server_cpu, row.bare_cpu]
        lines.append(
            [row.figure, target, *numbers, row.limit_name, f"{row.ratio:.2f}", row.verdict, *cpu]
        )
    return table([*head, "server CPU", "bare CPU"], lines)


def processors(contenders: Sequence[Contender]) -> str:
    roles = list(contenders[0].cpu)
    lines = [
        [
            c.name,
            " ".join(f"{rate:.0f}" for rate in c.runs) + f" {c.unit}",
            *(f"{c.cpu[role]:.2f}" for role in roles),
            f"{sum(c.cpu.values()):.2f}",
            c.cpu_unit,
        ]
        for c in contenders
    ]
    return table(["CPU time", "runs", *roles, "sum", "unit"], lines)


def show(outcomes: Sequence[Outcome]) -> str:
    parts = [ratios([row for outcome in outcomes for row in outcome.rows])]
    if contenders := [c for outcome in outcomes for c in outcome.contenders]:
        parts.append(processors(contenders))
    if notes := [f"- {note}" for outcome in outcomes for note in outcome.notes]:
        parts.append("\n".join(notes))
    return "\n\n".join(parts)


def save(path: Path, outcomes: Sequence[Outcome], *, quick: bool) -> None:
    rows = [row for outcome in outcomes for row in outcome.rows]
    data = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "grpcio": version("grpcio"),
        },
        "rows": [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows],
        "contenders": [asdict(c) for outcome in outcomes for c in outcome.contenders],
        "notes": [note for outcome in outcomes for note in outcome.notes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
