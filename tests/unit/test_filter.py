"""The filter language of lists."""

from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.access.policy import Condition
from media_service.access.principal import LINK, LinkMode, Principal
from media_service.access.queries import Named
from media_service.errors import InvalidArgument, Reason
from media_service.media.filter import (
    FIELDS,
    IN_COLLECTION,
    MAX_TERMS,
    POINT,
    fields_for,
    parse,
    parse_filter,
    with_content,
)

BOX = "box(point(%s, %s), point(%s, %s))"
HAS_CONTENT = with_content(b"").sql
ONE, TWO, SMART = [str(UUID(int=number)) for number in (1, 2, 3)]
HAS_TAG = "m.tag_hashes @> array[hashtextextended(%s, 0)]"


def refused(text: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text)
    assert caught.value.reason is Reason.INVALID_FILTER
    assert caught.value.fields[0][0] == "filter"
    return caught.value.message


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_filter_adds_no_condition(text: str) -> None:
    assert parse_filter(text) is None


@pytest.mark.parametrize(
    ("text", "sql", "params"),
    [
        ("kind=IMAGE", "m.kind = %s", ("IMAGE",)),
        ("kind = image", "m.kind = %s", ("IMAGE",)),
        ("state!=READY", "m.state <> %s", ("READY",)),
        ("size_bytes>=1000", "m.size_bytes >= %s", (1000,)),
        ("size_bytes > -5", "m.size_bytes > %s", (-5,)),
        ("sizeBytes=5", "m.size_bytes = %s", (5,)),
        ('filename="a b.jpg"', "m.filename = %s", ("a b.jpg",)),
        ("filename='it is'", "m.filename = %s", ("it is",)),
        (r'filename="say \"hi\" \\"', "m.filename = %s", (r'say "hi" \ '.rstrip(),)),
        ("filename=AND", "m.filename = %s", ("AND",)),
        ("filename=größe.jpg", "m.filename = %s", ("größe.jpg",)),
        ('tags:"holiday"', HAS_TAG, ("holiday",)),
        ("tags:2026", HAS_TAG, ("2026",)),
        ("tags:2026-11", HAS_TAG, ("2026-11",)),
        ('content_type="image/*"', "m.content_type like %s", ("image/%",)),
        ("content_type=image/*", "m.content_type like %s", ("image/%",)),
        ("content_type!=video/*", "m.content_type not like %s", ("video/%",)),
        ('filename="*holiday*"', "m.filename like %s", ("%holiday%",)),
        ('filename="*.jpg"', "m.filename like %s", ("%.jpg",)),
        ("filename=*", "m.filename like %s", ("%",)),
        ('filename="*100%_\\\\*"', "m.filename like %s", (r"%100\%\_\\%",)),
        ('filename="a*b"', "m.filename = %s", ("a*b",)),
        (
            "media_id=01930e2a-7f3c-7000-8000-000000000001",
            "m.media_id = %s",
            (UUID("01930e2a-7f3c-7000-8000-000000000001"),),
        ),
        ("owner=ann", "m.owner_id = %s", ("ann",)),
        ("owner=a*", "m.owner_id = %s", ("a*",)),
        ("project_id!=p1", "m.project_id <> %s", ("p1",)),
        ("visibility=public_original", "m.visibility = %s", ("PUBLIC_ORIGINAL",)),
        ('title="Sun*"', "m.title like %s", ("Sun%",)),
        ("width>=640", "m.width >= %s", (640,)),
        ("height<480", "m.height < %s", (480,)),
        ("duration_seconds>1.5", "m.duration_seconds > %s", (1.5,)),
        ("version=2", "m.version = %s", (2,)),
        ('labels.a="b"', "m.labels @> jsonb_build_object(%s::text, %s::text)", ("a", "b")),
        (
            "labels.my-app/v1.x=1",
            "m.labels @> jsonb_build_object(%s::text, %s::text)",
            ("my-app/v1.x", "1"),
        ),
        ("labels.a!=b", "m.labels ->> %s <> %s", ("a", "b")),
        ("labels.a=b*", "m.labels ->> %s like %s", ("a", "b%")),
        ("capture_time:*", "m.capture_time is not null", ()),
        ("title:*", "m.title <> ''", ()),
        ("tags:*", "m.tags <> '{}'", ()),
        ('tags:"*"', HAS_TAG, ("*",)),
        ("labels.a:*", "(m.labels ->> %s) is not null", ("a",)),
        ('camera="*EOS*"', "(m.private_info #>> '{exif,Model}') like %s", ("%EOS%",)),
        ('location:"47,8,48.5,9"', f"{POINT} <@ {BOX}", (8, 47, 9, 48.5)),
        (
            'location:"-10,170,10,-170"',
            f"({POINT} <@ {BOX} or {POINT} <@ {BOX})",
            (170, -10, 180, 10, -180, -10, -170, 10),
        ),
        (f"checksums.sha256={'0a' * 32}", HAS_CONTENT, (b"\n" * 32,)),
        (f'checksums.sha256="{"CgoK" * 10}Cgo="', HAS_CONTENT, (b"\n" * 32,)),
        (f"collection={ONE}", IN_COLLECTION, (UUID(ONE),)),
        (
            "capture_time>2026-01-02T03:04:05Z",
            "m.capture_time > %s",
            (datetime.fromisoformat("2026-01-02T03:04:05+00:00"),),
        ),
        (
            "create_time>2026-01-02T03:04:05Z",
            "m.create_time > %s",
            (datetime.fromisoformat("2026-01-02T03:04:05+00:00"),),
        ),
        (
            'update_time<="2026-01-02T03:04:05.123+02:00"',
            "m.update_time <= %s",
            (datetime.fromisoformat("2026-01-02T03:04:05.123+02:00"),),
        ),
    ],
)
def test_a_comparison_becomes_sql(text: str, sql: str, params: tuple[object, ...]) -> None:
    assert parse_filter(text) == Condition(sql, params)


A, B, C = "m.kind = %s", "m.state = %s", "m.size_bytes > %s"


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("kind=IMAGE AND state=READY", f"({A} and {B})"),
        ("kind=IMAGE state=READY", f"({A} and {B})"),
        ("kind=IMAGE OR state=READY", f"({A} or {B})"),
        ("kind=IMAGE OR state=READY AND size_bytes>1", f"({A} or ({B} and {C}))"),
        ("kind=IMAGE AND state=READY OR size_bytes>1", f"(({A} and {B}) or {C})"),
        ("(kind=IMAGE OR state=READY) AND size_bytes>1", f"(({A} or {B}) and {C})"),
        ("NOT kind=IMAGE", f"not coalesce({A}, false)"),
        ("-kind=IMAGE", f"not coalesce({A}, false)"),
        ("NOT kind=IMAGE AND state=READY", f"(not coalesce({A}, false) and {B})"),
        (
            "-(kind=IMAGE OR state=READY) size_bytes>1",
            f"(not coalesce(({A} or {B}), false) and {C})",
        ),
        ("NOT NOT kind=IMAGE", f"not coalesce(not coalesce({A}, false), false)"),
        ("((kind=IMAGE))", A),
    ],
)
def test_and_binds_tighter_than_or(text: str, sql: str) -> None:
    condition = parse_filter(text)
    assert condition is not None
    assert condition.sql == sql
    assert len(condition.params) == sql.count("%s")


@pytest.mark.parametrize(
    "value",
    [
        "'; drop table media; --",
        '" or 1=1',
        "%s",
        "%(name)s",
        "m.owner_id",
        "\\'; --",
        "x') or ('1'='1",
    ],
)
def test_a_value_never_becomes_sql(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_filter(f'filename="{quoted}"') == Condition("m.filename = %s", (value,))
    assert parse_filter(f'tags:"{quoted}"') == Condition(HAS_TAG, (value,))


@pytest.mark.parametrize(
    ("mode", "hidden"),
    [
        (LinkMode.VIEW, {"owner", "collection", "camera", "location", "checksums.sha256"}),
        (LinkMode.DOWNLOAD, {"owner", "collection"}),
    ],
)
def test_a_share_link_does_not_filter_by_what_it_does_not_show(
    mode: LinkMode, hidden: set[str]
) -> None:
    fields = fields_for(Principal("link", type=LINK, link_mode=mode))
    assert set(FIELDS) - set(fields) == hidden


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("owner_id=you", "'owner_id' is not a field; did you mean owner?"),
        ("sizeByte=5", "'sizeByte' is not a field; did you mean size_bytes?"),
        ("colour=red", "'colour' is not a field; the fields are media_id, owner"),
        ("media.secret=1", "is not a field"),
        ("1=1", "'1' is not a field"),
        ("kind=FOTO", "kind must be one of IMAGE, VIDEO, AUDIO, DOCUMENT, not 'FOTO'"),
        ("kind>IMAGE", "kind is compared with != =, not with '>'"),
        ("tags=holiday", "tags is compared with :, not with '='"),
        ("size_bytes:5", "size_bytes is compared with"),
        ("size_bytes=big", "size_bytes must be a 64-bit integer"),
        ("size_bytes=1.5", "size_bytes must be a 64-bit integer"),
        ("size_bytes=9223372036854775808", "must be a 64-bit integer"),
        ("size_bytes=" + "9" * 5000, "size_bytes must be a 64-bit integer"),
        ("create_time>yesterday", "create_time must be an RFC 3339 time with a time zone"),
        (
            "create_time>2026-01-02T03:04:05",
            "create_time must be an RFC 3339 time with a time zone",
        ),
        ("kind", "it is not complete"),
        ("kind=", "it is not complete"),
        ("kind=IMAGE AND", "it is not complete"),
        ("kind=IMAGE OR", "it is not complete"),
        ("NOT", "it is not complete"),
        ("(kind=IMAGE", "it is not complete"),
        ("(kind=IMAGE state", "it is not complete"),
        ("kind=IMAGE)", "')' is not expected here"),
        ("()", "a field is expected"),
        ("AND kind=IMAGE", "'AND' is not a field"),
        ("'kind'=IMAGE", "a field is expected"),
        ("kind==IMAGE", "a value is expected"),
        ("kind=(IMAGE)", "a value is expected"),
        ('filename="open', "cannot be parsed"),
        ('filename="nul\0"', "NUL"),
        ("duration_seconds=nan", "duration_seconds must be a number"),
        ("media_id=5", "media_id must be a UUID"),
        ("collection=5", "collection must be a UUID"),
        (f"collection!={ONE}", "collection is compared with =, not with '!='"),
        ("collection:*", "collection is compared with =, not with ':'"),
        (
            " OR ".join(f"collection=00000000-0000-0000-0000-{n:012}" for n in range(11)),
            "names more than 10 collections",
        ),
        ("album=5", "did you mean collection?"),
        ("labels=5", "'labels' is not a field"),
        ("labels.A=5", "'labels.A' is not a field"),
        ("labels.a>5", "labels.a is compared with"),
        ("type=image/png", "'type' is not a field; did you mean content_type?"),
        ("orientation=wide", "one of LANDSCAPE, PORTRAIT, SQUARE, not 'wide'"),
        ("state=REDY", "QUARANTINED, not 'REDY'; did you mean READY?"),
        ('location:"47,8"', "location must be a box of degrees"),
        ('location:"1,2,3,x"', "location must be a box of degrees"),
        ('location:"5,0,4,0"', "location must be a box of degrees"),
        ('location:"0,0,0,181"', "location must be a box of degrees"),
        ("checksums.sha256=00", "checksums.sha256 must be a SHA-256"),
        ("checksums.sha256:*", "checksums.sha256 is compared with =, not with ':'"),
    ],
)
def test_the_error_explains_an_invalid_filter(text: str, why: str) -> None:
    assert why in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "kind=IMAGE" + ")" * 10_000,
        "(" * 100_000,
        "NOT " * 10_000 + "kind=IMAGE",
        "-" + "(-" * 10_000 + "kind=IMAGE",
        " AND ".join(["kind=IMAGE"] * (MAX_TERMS + 1)),
        " OR ".join(["kind=IMAGE"] * 10_000),
    ],
)
def test_a_filter_with_too_many_terms_is_refused(text: str) -> None:
    assert f"more than {MAX_TERMS} terms" in refused(text)


def test_a_filter_with_the_maximum_number_of_terms_is_accepted() -> None:
    condition = parse_filter(" OR ".join(["kind=IMAGE"] * MAX_TERMS))
    assert condition is not None
    assert len(condition.params) == MAX_TERMS


def test_a_smart_collection_stands_for_its_filter() -> None:
    smart = {ONE: f"rating=5 OR collection={TWO}", TWO: "kind=IMAGE"}
    found = parse(f"NOT collection={ONE.upper()} AND kind=VIDEO", smart=smart)
    assert found
    assert found.named == Named(frozenset({ONE, TWO}))
    inner = f"(m.rating = %s or {IN_COLLECTION})"
    assert found.condition.sql == f"(not coalesce({inner}, false) and m.kind = %s)"
    assert found.condition.params == (5, UUID(TWO), "VIDEO"), "smart ones are not nested"


@pytest.mark.parametrize(
    ("text", "within"),
    [
        (f"collection={ONE}", {ONE}),
        (f"kind=IMAGE AND (collection={ONE} OR collection={TWO} AND rating=5)", {ONE, TWO}),
        (f"collection={ONE} OR kind=IMAGE", None),
        (f"NOT collection={ONE}", None),
        (f"NOT collection={ONE} AND collection={TWO}", {TWO}),
        (f"collection={SMART}", {TWO}),
        (f"checksums.sha256={'0a' * 32} OR collection={ONE}", {b"\n" * 32, ONE}),
    ],
)
def test_a_filter_may_be_limited_to_what_it_names(
    text: str, within: set[str | bytes] | None
) -> None:
    found = parse(text, smart={SMART: f"collection={TWO} rating=5"})
    assert found
    assert found.named.within == within


LIKELY = st.lists(
    st.sampled_from(
        [
            *[
                *FIELDS,
                "labels.a",
                "(",
                ")",
                "=",
                "!=",
                ">",
                ":",
                "AND",
                "OR",
                "NOT",
                "-",
                '"',
                "'",
                "\\",
                "*",
            ],
            *["IMAGE", "5", "2026-01-01T00:00:00Z", '"a b"', "\0", "é", "%", "\n", " "],
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=200), LIKELY, LIKELY.map(lambda text: f"kind=IMAGE {text}")))
def test_any_text_is_parsed_or_refused_as_invalid_filter(text: str) -> None:
    try:
        condition = parse_filter(text)
    except InvalidArgument as error:
        assert error.reason is Reason.INVALID_FILTER  # noqa: PT017
    else:
        assert condition is None or condition.sql.count("%s") == len(condition.params)
