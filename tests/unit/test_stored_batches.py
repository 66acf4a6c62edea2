"""What the job of a batch does is what its call asked for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from media_service.access.owner import Owner
from media_service.batches.actions import Action, Delete, Move, Tag, Update
from media_service.batches.rendering import Process
from media_service.batches.stored import from_json, to_json
from media_service.codecs.pipeline.validation import parsed_pipeline
from media_service.jobs.model import Priority
from media_service.media.model import Visibility

KEPT = timedelta(days=3)
VALUES = {
    "title": "x",
    "tags": ("a", "b"),
    "labels": {"a": "b"},
    "rating": 3,
    "visibility": Visibility.PUBLIC,
    "capture_time": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
    "expire_time": None,
    "metadata": {"a": [1, {"b": None}]},
}
ACTIONS = [
    Tag(("a",), ("b",)),
    Update(VALUES),
    Delete(KEPT),
    Move(Owner("user", "ann", "acme"), None),
    Move(None, ""),
    Process(parsed_pipeline("resize:8x,negate"), "n", Priority.LOW, ["crop"]),
]


@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_an_action_is_the_same_when_it_was_stored(action: Action[Any]) -> None:
    assert from_json(json.loads(json.dumps(to_json(action))), KEPT) == action
