"""What the audit log records as a change is told to consumers, unless it is listed as silent."""

import re
from pathlib import Path

from media_service.db.audited_events import OF_MEDIA, OF_OTHERS, OTHERWISE, SILENT
from media_service.db.event_types import FIELDS, EventType
from media_service.db.event_types import OF_MEDIA as FIELDS_OF_MEDIA
from tests.support.contract_rules import METHODS, rule_of
from tests.support.tests_text import ALL_TESTS

SOURCE = Path(__file__).parents[2] / "src/media_service"
AUDITED = re.compile(r"\.audit\(\s*(?:\n\s*)?\"([a-z_]+\.[a-z_]+)\"( if \w+ else \"(\w*\.?\w*)\")?")


def test_every_audited_action_has_an_event_or_is_listed_as_silent() -> None:
    actions = {rule_of(method).audit for method in METHODS} - {""}
    texts = [path.read_text() for path in SOURCE.rglob("*.py")]
    actions |= {found[1] for text in texts for found in AUDITED.finditer(text)}
    actions |= {"quotas.exceed_soft_limit", "media.hand_out", "erasures.end"} & listed()
    assert actions - listed() == set(), "add them to db/audited_events.py"
    tables = (OF_MEDIA.keys(), OF_OTHERS.keys(), OTHERWISE, SILENT)
    assert sum(map(len, tables)) == len(listed()), "an action is in two tables"


def listed() -> set[str]:
    return {*OF_MEDIA, *OF_OTHERS, *OTHERWISE, *SILENT}


def test_every_type_of_event_is_emitted() -> None:
    """By a trigger with its name in a migration, or by the name of its member."""
    migrations = "".join(path.read_text() for path in SOURCE.rglob("*_events.sql"))
    code = "".join(
        path.read_text() for path in SOURCE.rglob("*.py") if path.name != "event_types.py"
    )
    for type_ in EventType:
        assert f"'{type_}'" in migrations or f"EventType.{type_.name}" in code, type_


def test_every_field_is_documented_and_used() -> None:
    used = {name for type_ in EventType for name in type_.fields} | FIELDS_OF_MEDIA
    assert used == FIELDS.keys()


def test_every_type_of_event_is_tested() -> None:
    untested = {type_ for type_ in EventType if type_ not in ALL_TESTS}
    assert not untested
