"""The settings and their values, in groups and in units that people read."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from datetime import timedelta
from typing import Any

from media_service.config import (
    DURATION_UNITS,
    MASK,
    OFF,
    SIZES,
    Config,
    presets,
    rate,
    size,
    variable,
    without_password,
)
from media_service.issuers import issuers_text, parse_issuers

# Each group begins with this field of `Config`.
GROUPS = {
    "data_dir": "Data",
    "host": "Addresses",
    "jwt_secret": "Access",
    "rate_caller": "Rates",
    "max_upload_size": "Uploads and media",
    "render_children": "Renditions",
    "scan": "Virus scans",
    "jobs_transport": "Processes",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. `value` has the form in which it can be set, unless it is masked."""

    group: str
    name: str
    value: str
    meaning: str


def describe(config: Config) -> Iterator[Setting]:
    """All settings, group by group. Secrets are masked."""
    group = ""
    for spec in fields(config):
        group = GROUPS.get(spec.name, group)
        value = text_of(spec, getattr(config, spec.name))
        if spec.metadata["masked"] and value:
            value = MASK
        value = without_password(value)
        yield Setting(group, variable(spec.name), value, spec.metadata["about"])


def text_of(spec: "Field[Any]", value: Any) -> str:
    match value:
        case None:
            return OFF if spec.metadata["parse"] is rate else ""
        case Mapping():
            between, empty = (";", "-") if spec.metadata["parse"] is presets else (",", "")
            return between.join(f"{name}={each}" for name, each in value.items()) or empty
        case tuple():
            listed = spec.metadata["parse"] is parse_issuers
            return issuers_text(value) if listed else ",".join(map(str, value))
        case timedelta():
            return in_largest_unit(int(value.total_seconds()), DURATION_UNITS)
    if spec.metadata["parse"] is size:
        units = {f"{unit.upper()}iB" if unit else "": factor for unit, factor in SIZES.items()}
        return in_largest_unit(value, units)
    return str(value)


def in_largest_unit(number: int, units: Mapping[str, int]) -> str:
    """The number in the largest unit that leaves it whole, such as 7d or 50GiB."""
    unit = max((u for u in units if number % units[u] == 0), key=lambda u: units[u])
    return f"{number // units[unit]}{unit}"
