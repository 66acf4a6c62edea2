"""The order of lists, and the start of their pages."""

import pytest

from media_service.access.lists import Key, after_sql, order_sql
from media_service.errors import InvalidArgument, Reason
from media_service.media.paging import SORTABLE, parse_order


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("", "m.create_time desc, m.media_id desc"),
        ("  ", "m.create_time desc, m.media_id desc"),
        ("size_bytes", "m.size_bytes, m.media_id"),
        ("size_bytes asc", "m.size_bytes, m.media_id"),
        (" size_bytes  desc , filename", "m.size_bytes desc, m.filename, m.media_id"),
        ("filename desc", "m.filename desc, m.media_id desc"),
        ("width desc", "coalesce(m.width, -1) desc, m.media_id desc"),
    ],
)
def test_every_order_ends_with_the_id(text: str, sql: str) -> None:
    assert order_sql("m", parse_order(text)) == sql


@pytest.mark.parametrize(
    "text",
    [
        "owner_id",
        "size_bytes down",
        "size_bytes desc desc",
        "size_bytes DESC",
        "size_bytes,size_bytes desc",
        "size_bytes,",
        ",",
        "media_id",
        "size_bytes; drop table media",
        "m.size_bytes",
        "create_time, update_time, size_bytes, filename, title",
    ],
)
def test_an_unknown_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_order(text)
    assert caught.value.reason is Reason.INVALID_ORDER_BY


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("file_name", "did you mean filename?"),
        ("captureTime DESC", "followed by asc, desc or nothing."),
        ("colour", f"the fields are {', '.join(SORTABLE)}."),
        ("title,title", "title is there twice."),
    ],
)
def test_a_refused_order_says_what_is_accepted(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_order(text)
    assert caught.value.message.endswith(hint)


def test_a_page_starts_after_a_row_without_a_value() -> None:
    after = after_sql("m", parse_order("width desc"), [None, "id"])
    assert after.sql == "(coalesce(m.width, -1), m.media_id) < (-1, %s)"
    assert after.params == ("id",)


def test_a_page_starts_after_a_row_in_the_direction_of_each_key() -> None:
    after = after_sql("m", [Key("size_bytes", descending=True), Key("media_id", False)], [5, "id"])
    assert after.sql == "((m.size_bytes < %s) or (m.size_bytes = %s and m.media_id > %s))"
    assert after.params == (5, 5, "id")


def test_a_page_in_one_direction_starts_where_an_index_scan_can() -> None:
    keys = [Key("create_time", descending=True), Key("job_id", descending=True)]
    after = after_sql("j", keys, ["now", "id"])
    assert (after.sql, after.params) == ("(j.create_time, j.job_id) < (%s, %s)", ("now", "id"))
