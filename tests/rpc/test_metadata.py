"""What callers say of a media beyond its title: a rating, JSON of their own, when it was taken."""

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from tests.support.media.small_files import jpeg
from tests.support.rpc.catalogue import get, names, update
from tests.support.rpc.server import Caller, refused


def struct(values: dict[str, Any]) -> Struct:
    found = Struct()
    found.update(values)
    return found


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {}


async def test_metadata_and_rating_are_stored_and_replaced(ann: Caller) -> None:
    stored = await ann.store(jpeg(), "a.jpg")
    assert (stored.rating, MessageToDict(stored.metadata)) == (0, {})
    said = {
        "shoot": {"crew": ["ann", "bob"], "take": 3, "outdoor": True, "note": None},
        "huge": 2.0**1000,
        "small": -0.25,
        "deep": nested(7),
    }
    changed = await update(ann, [], media_id=stored.media_id, rating=4, metadata=struct(said))
    assert MessageToDict(changed.metadata) == said
    assert await get(ann, stored.media_id) == changed
    assert changed.etag != stored.etag
    assert await names(ann, filter="rating>=4") == ["a.jpg"]
    assert await names(ann, filter="rating>4 OR rating=0") == []
    del said["huge"]
    changed = await update(ann, ["metadata"], media_id=stored.media_id, metadata=struct(said))
    again = await update(ann, ["metadata"], media_id=stored.media_id, metadata=struct(said))
    assert again.etag == changed.etag, "nothing has changed"
    cleared = await update(ann, ["rating", "metadata"], media_id=stored.media_id)
    assert (cleared.rating, MessageToDict(cleared.metadata)) == (0, {})


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"text": "x" * (16 << 10)}, "has more than 16384 bytes as JSON"),
        ({"a": [1e308] * 60}, "has more than 16384 bytes as JSON"),
        ({"text": "x" * (100 << 10)}, "has more than 16384 bytes as JSON"),
        (nested(9), "has more than 8 levels"),
        ({str(key): 0 for key in range(257)}, "has more than 256 keys"),
        ({"k" * 129: 0}, "has a key that has not 1 to 128 characters"),
        ({"": 0}, "has a key that has not 1 to 128 characters"),
        ({"a": ["b\0"]}, "contains a NUL character"),
        ({"a\0": 1}, "contains a NUL character"),
        ({"a": float("nan")}, "contains a number that is not finite"),
    ],
)
async def test_metadata_beyond_the_limits_is_refused(
    ann: Caller, metadata: dict[str, Any], why: str
) -> None:
    stored = await ann.store(jpeg())
    call = update(ann, ["metadata"], media_id=stored.media_id, metadata=struct(metadata))
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "METADATA_NOT_ALLOWED",
    )
    assert refusal.fields == ["metadata"]
    assert why in refusal.message


async def test_a_rating_beyond_five_stars_is_refused(ann: Caller) -> None:
    stored = await ann.store(jpeg())
    refusal = await refused(update(ann, ["rating"], media_id=stored.media_id, rating=6))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["media.rating"])
