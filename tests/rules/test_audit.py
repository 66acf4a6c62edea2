"""The documentation says which methods count as views and downloads."""

import re
from pathlib import Path

from mediaservice.v1.rule_pb2 import Rule

from tests.support.contract_rules import METHODS, rule_of

DOCUMENT = Path(__file__).parents[2] / "docs/design/audit.md"
WORDS = {
    Rule.VIEW: r"a view\b",
    Rule.VIEW_OR_DOWNLOAD: r"a download of an original, a view of a rendition$",
}


def test_the_document_lists_the_methods_that_read_content() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE))
    reading = {method.name: rule_of(method).reading for method in METHODS}
    assert rows.keys() == {name for name, kind in reading.items() if kind}
    for name, text in rows.items():
        assert re.match(WORDS[reading[name]], text), name
