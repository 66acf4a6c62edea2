"""RenderImage: images rendered while the request waits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from mediaservice.v1 import download_service_pb2, media_service_pb2
from mediaservice.v1.operation_pb2 import Operation

from media_service.access.owner import Owner
from media_service.codecs.image_renderer import ImageRenderer, RenderedImage
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.renders import cache
from media_service.renders.buffered_renders import BufferedRenders
from media_service.renders.places import RenderPlaces
from tests.support.media.small_files import gif, jpeg, noise, png, video_bytes
from tests.support.rpc.catalogue import get
from tests.support.rpc.links import Anybody, link, somebody
from tests.support.rpc.renders import Answer, render
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id
from tests.support.rpc.sharing import grant
from tests.support.stores.local_files import blob_files
from tests.support.tools import eventually_async

WIDTH, HEIGHT = 64, 48
BROWSER = ("accept", "text/html,image/avif,image/webp,image/apng,*/*;q=0.8")
OLDER = ("accept", "image/webp,*/*")


async def ready(caller: Caller, data: bytes, filename: str = "beach.jpg") -> str:
    """Stores an image and returns its id after its inspection."""
    small = len(data) < 1 << 20
    media_id = (await (caller.store(data, filename) if small else caller.store_all(data))).media_id

    async def look() -> bool:
        request = media_service_pb2.GetMediaRequest(media_id=media_id)
        media = await caller.call(caller.media.GetMedia, request)
        return media.state not in {media.PENDING, media.PROCESSING}

    await eventually_async(look)
    return media_id


@pytest.fixture
async def cat(working: Running) -> Caller:
    """A user of a server with a worker."""
    return await working.caller("cat")


@pytest.fixture
async def media_id(cat: Caller) -> str:
    return await ready(cat, jpeg(WIDTH, HEIGHT))


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the pipelines of all later renders."""
    made: list[str] = []
    really = ImageRenderer.render

    @asynccontextmanager
    async def counted(
        self: ImageRenderer, original: Any, pipeline: Pipeline, **how: Any
    ) -> AsyncIterator[RenderedImage]:
        made.append(pipeline.text)
        async with really(self, original, pipeline, **how) as rendered:
            yield rendered

    monkeypatch.setattr(ImageRenderer, "render", counted)
    return made


async def kept(service: Running, count: int) -> None:
    """Waits until this many renders and their bytes are stored."""

    async def look() -> bool:
        async with service.database() as db:
            rows = await db.execute(
                "select count(*) from renders r join blobs b on b.blob_id = r.blob_id"
                " where b.reference_count = 1"
            )
            return await rows.fetchone() == (count,)

    await eventually_async(look)


def stored(service: Running) -> set[Path]:
    return set(blob_files(service.data_dir / "raw"))


# Output


async def test_an_image_is_rendered_as_requested(cat: Caller, media_id: str) -> None:
    answer = await render(cat, media_id, width=20, format=Operation.WEBP)
    assert (answer.image.format, answer.size) == ("WEBP", (20, 15))
    assert answer.headers["x-content-type"] == "image/webp"
    assert answer.headers["x-content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == 'inline; filename="beach.webp"'
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "authorization"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_parameters_and_operations_are_one_pipeline(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    await render(cat, media_id, width=20, ops="negate", format=Operation.PNG, quality=50)
    assert renders == ["resize:width=20,negate,convert:format=PNG:quality=50"]


async def test_equivalent_pipelines_share_one_render(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    requests: list[dict[str, Any]] = [
        {"width": 20, "format": Operation.WEBP},
        {"ops": "resize:20x,convert:webp"},
        {"ops": "resize:width=20:fit=INSIDE", "format": Operation.WEBP},
        {"width": 20, "ops": "convert:format=WEBP:lossless=false"},
    ]
    answers = [await render(cat, media_id, **request) for request in requests]
    assert len(renders) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("data", "accept", "expected"),
    [
        (jpeg(), "image/avif,image/webp", "AVIF"),
        (jpeg(), BROWSER[1], "AVIF"),
        (jpeg(), "image/avif;q=0, image/webp", "WEBP"),
        (jpeg(), OLDER[1], "WEBP"),
        (jpeg(), "*/*", "JPEG"),
        (jpeg(), "", "JPEG"),
        (png(), "image/*", "PNG"),
        (png(), "image/webp", "WEBP"),
        (gif(), BROWSER[1], "WEBP"),
        (gif(), "image/avif", "GIF"),
        (gif(), "*/*", "GIF"),
    ],
)
async def test_without_a_format_the_best_accepted_format_is_chosen(
    cat: Caller, data: bytes, accept: str, expected: str
) -> None:
    made = await ready(cat, data, "a")
    answer = await render(cat, made, *([("accept", accept)] if accept else []), width=20)
    assert answer.image.format == expected
    assert answer.headers["vary"] == "authorization, accept"
    assert getattr(answer.image, "n_frames", 1) == (3 if data == gif() else 1)


async def test_a_requested_format_does_not_vary_by_accept(cat: Caller, media_id: str) -> None:
    for asked in ({"format": Operation.PNG}, {"ops": "convert:png"}):
        answer = await render(cat, media_id, BROWSER, **asked)
        assert (answer.image.format, answer.headers["vary"]) == ("PNG", "authorization")


async def test_a_negotiated_format_and_a_requested_one_share_a_render(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    negotiated = await render(cat, media_id, OLDER, width=20)
    asked = await render(cat, media_id, width=20, format=Operation.WEBP)
    assert asked.content == negotiated.content
    assert asked.headers["etag"] == negotiated.headers["etag"]
    assert len(renders) == 1


async def test_an_image_too_long_for_the_accepted_formats_gets_one_that_fits(
    cat: Caller, renders: list[str]
) -> None:
    """The limit of AVIF is 16384 pixels, and that of WebP 16383."""
    media_id = await ready(cat, jpeg(20_000, 40))
    both = ("accept", "image/avif,image/webp")
    for ops, expected in (
        ("", "JPEG"),
        ("crop:16384x40", "AVIF"),
        ("crop:16385x40", "JPEG"),
        ("rotate:90,crop:40x16000", "AVIF"),
    ):
        answer = await render(cat, media_id, both, ops=ops)
        assert answer.image.format == expected
    assert (await render(cat, media_id, OLDER, ops="crop:16384x40")).image.format == "JPEG"
    refusal = await refused(render(cat, media_id, both, ops="convert:AVIF"))
    assert (refusal.reason, refusal.headers["x-http-status"]) == (
        "PROCESSING_LIMIT_EXCEEDED",
        "422",
    )


async def test_a_negotiated_format_does_not_count_as_an_operation(
    cat: Caller, media_id: str
) -> None:
    most = ",".join(["negate"] * 32)
    assert (await render(cat, media_id, BROWSER, ops=most)).image.format == "AVIF"
    assert (await refused(render(cat, media_id, ops=f"{most},negate"))).reason == (
        "INVALID_OPERATIONS"
    )


# HTTP


async def test_a_matching_etag_gets_304_without_rendering(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    etag = (await render(cat, media_id, width=20)).headers["etag"]
    other = await render(cat, media_id, width=21)
    assert other.headers["etag"] != etag
    renders.clear()
    asked = [("if-none-match", etag)]
    again = await render(cat, media_id, *asked, width=20)
    assert (again.status, again.content, renders) == ("304", b"", [])
    assert again.headers["etag"] == etag
    assert again.headers["vary"] == "authorization, accept"
    # The etag is known before the first render.
    fresh = await ready(cat, jpeg(color="red"))
    first = await render(cat, fresh, ("if-none-match", "*"), width=22)
    assert (first.status, renders) == ("304", [])
    refusal = await refused(render(cat, fresh, ("if-match", '"x"'), width=22))
    assert (refusal.reason, renders) == ("PRECONDITION_FAILED", [])


async def test_a_range_of_a_render_is_206(cat: Caller, media_id: str) -> None:
    whole = await render(cat, media_id, width=20, format=Operation.PNG)
    part = await render(cat, media_id, ("range", "bytes=10-19"), width=20, format=Operation.PNG)
    assert (part.status, part.content) == ("206", whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    outside = render(cat, media_id, ("range", "bytes=9999999-"), width=20, format=Operation.PNG)
    assert (await refused(outside)).reason == "RANGE_NOT_SATISFIABLE"


# Refusals


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"ops": "resize"}, "ops[0].resize"),
        ({"ops": "nosuch"}, "ops[0]"),
        ({"fit": Operation.Resize.COVER}, "width"),
        ({"dpr": 2.0, "format": Operation.PNG}, "width"),
        ({"ops": "convert:png", "format": Operation.PNG}, "ops"),
        ({"width": 20, "ops": "blur:-1"}, "ops[0]"),
    ],
)
async def test_an_invalid_pipeline_is_refused(
    ann: Caller, asked: dict[str, Any], field: str
) -> None:
    media = await ann.store(jpeg())
    refusal = await refused(render(ann, media.media_id, **asked))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_OPERATIONS",
    )
    assert refusal.fields[0].startswith(field)


@pytest.mark.usefixtures("impatient")
async def test_rendering_a_media_before_its_inspection_is_refused(ann: Caller) -> None:
    media = await ann.store(jpeg())
    refusal = await refused(render(ann, media.media_id, width=20))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MEDIA_NOT_READY")
    assert refusal.headers["x-http-status"] == "503"
    assert refusal.headers["retry-after"] == "1"


async def test_media_other_than_images_are_refused(ann: Caller) -> None:
    media = await ann.store(video_bytes(100_000), "a.mp4")
    refusal = await refused(render(ann, media.media_id, width=20))
    assert refusal.reason == "OPERATION_NOT_APPLICABLE"
    signed = download_service_pb2.SignUrlRequest(media_id=media.media_id, ops="negate")
    assert (await refused(ann.call(ann.downloads.SignUrl, signed))).reason == (
        "OPERATION_NOT_APPLICABLE"
    )


async def test_rendering_a_failed_media_is_refused(cat: Caller, renders: list[str]) -> None:
    broken = await ready(cat, jpeg(400, 400)[:700])
    refusal = await refused(render(cat, broken, width=20))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MEDIA_FAILED")
    assert (refusal.headers["x-http-status"], refusal.metadata["cause"]) == ("422", "MEDIA_CORRUPT")
    assert renders == []


async def test_only_the_owner_can_render(cat: Caller, working: Running, media_id: str) -> None:
    dan = await working.caller("dan")
    assert (await refused(render(dan, media_id, width=20))).reason == "MEDIA_NOT_FOUND"
    writer = await working.caller("cat", scope="uploads.write")
    assert (await refused(render(writer, media_id, width=20))).reason == "SCOPE_MISSING"
    await render(cat, media_id, width=20)
    await cat.call(cat.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    assert (await refused(render(cat, media_id, width=20))).reason == "MEDIA_DELETED"


# Sharing


async def test_concurrent_requests_share_one_render(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    asked = [render(cat, media_id, width=30) for _ in range(20)]
    answers = await asyncio.gather(*asked)
    assert len(renders) == 1
    assert len({answer.content for answer in answers}) == 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> "Held":
    return Held(monkeypatch)


class Held:
    """Holds renders until the test lets them continue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = asyncio.Event()
        self.asked = self.waiting = self.cancelled = 0
        self.made: list[str] = []
        really, place = ImageRenderer.render, RenderPlaces.place

        def ask(places: RenderPlaces, owner: Owner) -> AbstractAsyncContextManager[None]:
            self.asked += 1
            return place(places, owner)

        @asynccontextmanager
        async def wait(
            renderer: ImageRenderer, original: Any, pipeline: Pipeline, **how: Any
        ) -> AsyncIterator[RenderedImage]:
            self.waiting += 1
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            async with really(renderer, original, pipeline, **how) as rendered:
                self.made.append(pipeline.text)
                yield rendered

        monkeypatch.setattr(ImageRenderer, "render", wait)
        monkeypatch.setattr(RenderPlaces, "place", ask)

    async def until(self, is_it: Callable[[], bool]) -> None:
        async def look() -> bool:
            return is_it()

        await eventually_async(look)


async def test_a_render_is_cancelled_only_when_its_last_caller_leaves(
    cat: Caller, media_id: str, held: Held
) -> None:
    first, second = (asyncio.create_task(render(cat, media_id, width=31)) for _ in range(2))
    await held.until(lambda: held.waiting == 1)
    first.cancel()
    await asyncio.wait([first])
    assert held.cancelled == 0
    second.cancel()
    await held.until(lambda: held.cancelled == 1)
    third = asyncio.create_task(render(cat, media_id, width=31))
    await held.until(lambda: held.waiting == 2)
    held.go_on.set()
    assert (await third).size == (31, 23)
    assert (held.cancelled, len(held.made)) == (1, 1)


async def test_a_render_that_its_last_caller_abandoned_is_kept_for_the_next(
    cat: Caller, media_id: str, held: Held, working: Running
) -> None:
    impatient = asyncio.create_task(render(cat, media_id, width=32))
    await held.until(lambda: held.waiting == 1)
    impatient.cancel()
    await asyncio.wait([impatient])
    held.go_on.set()
    await kept(working, 1)
    assert (await render(cat, media_id, width=32)).size == (32, 24)
    assert (held.cancelled, len(held.made)) == (0, 1)


async def test_a_render_beyond_the_queue_is_refused_and_owners_share_it(
    start: Start, held: Held
) -> None:
    """With one child process the queue has 66 places, and two originals are opened at a time."""
    service = await start(work=True, render_children="1")
    cat, dan = await service.caller("cat"), await service.caller("dan")
    media_id, dans = await ready(cat, jpeg()), await ready(dan, jpeg())
    asked = [asyncio.create_task(render(cat, media_id, width=n)) for n in range(1, 67)]
    await held.until(lambda: (held.asked, held.waiting) == (66, 2))
    refusal = await refused(render(cat, media_id, width=80))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RENDER_BUSY")
    assert (refusal.headers["x-http-status"], refusal.headers["retry-after"]) == ("429", "1")
    # Another request for one of them starts no new render.
    same = asyncio.create_task(render(cat, media_id, width=33))
    # One of cat's gives its place to dan.
    other = asyncio.create_task(render(dan, dans, width=50))
    await held.until(lambda: held.asked == 68)
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    (evicted,) = done
    assert (await refused(evicted)).reason == "RENDER_BUSY"
    kept_asking = [answer for answer in asked[:33] if answer in waiting]
    for answer in waiting.difference(kept_asking):
        answer.cancel()
    held.go_on.set()
    assert (await same).size == (33, 25)
    assert (await other).size == (50, 38)
    assert {(await answer).size[0] for answer in kept_asking} <= set(range(1, 34))
    assert "width=50" in "".join(held.made[:4]), "dan waits for all of cat's"
    assert (await render(cat, media_id, width=40)).size == (40, 30)


async def test_a_reader_takes_their_own_share_and_not_that_of_the_owner(
    start: Start, held: Held
) -> None:
    service = await start(work=True, render_children="1")
    cat, dan = await service.caller("cat"), await service.caller("dan")
    media_id = await ready(cat, jpeg())
    await grant(cat, f"media:{media_id}", "user:dan")
    token = await link(dan, media_id, ops="resize:81x")
    asked = [asyncio.create_task(render(dan, media_id, width=n)) for n in range(1, 66)]
    await held.until(lambda: (held.asked, held.waiting) == (65, 2))
    newest = asyncio.create_task(render(dan, media_id, width=66))
    await held.until(lambda: held.asked == 66)
    assert (await refused(render(dan, media_id, width=80))).reason == "RENDER_BUSY"
    async with somebody(service) as anybody:
        refusal = await refused(anybody.read(token))
    assert refusal.reason == "RENDER_BUSY", "a link takes the share of its signer"
    shared = asyncio.create_task(render(cat, media_id, width=66))
    await get(cat, media_id)
    own = asyncio.create_task(render(cat, media_id, width=30, quality=31))
    assert (await refused(newest)).reason == "RENDER_BUSY", "it gave its place to cat"
    held.go_on.set()
    for answer in (own, shared):
        assert (await answer).content
    for answer in asked:
        answer.cancel()


async def test_a_failed_render_is_not_retried_at_once(
    cat: Caller, media_id: str, renders: list[str]
) -> None:
    impossible = {"width": 20, "ops": "compress:max_size_bytes=100", "format": Operation.PNG}
    for _ in range(3):
        refusal = await refused(render(cat, media_id, **impossible))
        assert refusal.reason == "MAX_SIZE_TOO_SMALL"
    assert len(renders) == 1
    assert (await render(cat, media_id, width=20, format=Operation.PNG)).size == (20, 15)


async def test_a_render_too_large_for_a_request_refers_to_process_media(
    cat: Caller, media_id: str
) -> None:
    refusal = await refused(render(cat, media_id, ops="resize:10100x10000:fit=FILL:enlarge"))
    assert (refusal.reason, refusal.headers["x-http-status"]) == (
        "PROCESSING_LIMIT_EXCEEDED",
        "422",
    )
    assert "ProcessMedia" in refusal.message


# Cache


async def test_a_cached_render_is_served_by_the_next_server(
    cat: Caller, working: Running, start: Start, media_id: str, renders: list[str]
) -> None:
    before = stored(working)
    first = await render(cat, media_id, width=20)
    await kept(working, 1)
    (file,) = stored(working) - before
    assert file.read_bytes() == first.content
    another = await (await start()).caller("cat")
    second = await render(another, media_id, width=20)
    assert (second.content, len(renders)) == (first.content, 1)
    for name in ("etag", "last-modified", "repr-digest", "content-disposition"):
        assert second.headers[name] == first.headers[name]


async def test_a_cached_render_without_its_bytes_is_rendered_again(
    cat: Caller, working: Running, media_id: str, renders: list[str]
) -> None:
    before = stored(working)
    first = await render(cat, media_id, width=20)
    await kept(working, 1)
    (lost,) = stored(working) - before
    lost.unlink()
    again = await render(cat, media_id, width=20)
    assert (again.content, len(renders)) == (first.content, 2)
    await eventually_async(lambda: is_one(stored(working) - before))
    assert (await render(cat, media_id, width=20)).content == first.content
    assert len(renders) == 2


async def is_one(found: set[Path]) -> bool:
    return len(found) == 1


async def test_a_render_of_a_purged_media_is_not_stored(
    cat: Caller, working: Running, media_id: str
) -> None:
    before = stored(working)
    for width in (20, 21, 22):
        await render(cat, media_id, width=width)
    await kept(working, 3)
    assert len(stored(working) - before) == 3
    await cat.call(cat.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    await cat.call(cat.media.PurgeMedia, media_service_pb2.PurgeMediaRequest(media_id=media_id))

    async def gone() -> bool:
        return stored(working) == set()

    await eventually_async(gone)
    assert (await refused(render(cat, media_id, width=20))).reason == "MEDIA_NOT_FOUND"


async def test_a_failed_render_is_not_cached(cat: Caller, media_id: str, working: Running) -> None:
    before = stored(working)
    refusal = await refused(render(cat, media_id, ops="compress:max_size_bytes=100"))
    assert refusal.reason == "MAX_SIZE_TOO_SMALL"
    assert stored(working) == before
    assert (await render(cat, media_id, width=20)).size == (20, 15)


async def test_an_unsupported_output_format_is_refused_before_the_media_is_looked_up(
    ann: Caller, renders: list[str]
) -> None:
    """The existence and kind of the media do not matter."""
    refusal = await refused(render(ann, unknown_id(), format=Operation.HEIC))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OPERATION_NOT_APPLICABLE",
    )
    assert "use one of JPEG, PNG" in refusal.message
    assert renders == []


async def test_a_render_is_found_and_stored_without_loading_other_renditions(
    cat: Caller, media_id: str, working: Running
) -> None:
    """A media may have many renditions."""
    async with working.database() as db:
        await db.execute("alter table renditions rename to elsewhere")
    assert (await render(cat, media_id, width=20)).size == (20, 15)
    assert (await render(cat, media_id, width=20)).size == (20, 15)


async def test_a_large_render_is_served_from_the_store(
    cat: Caller, working: Running, renders: list[str]
) -> None:
    """It is stored before the response, because many large renders would not fit in memory."""
    media_id = await ready(cat, noise(2400, 1800))
    before = stored(working)
    answer = await render(cat, media_id, format=Operation.TIFF)
    assert answer.size == (2400, 1800)
    assert len(answer.content) > 8 << 20
    (file,) = stored(working) - before
    assert file.read_bytes() == answer.content
    part = await render(cat, media_id, ("range", "bytes=0-9"), format=Operation.TIFF)
    assert (part.content, len(renders)) == (answer.content[:10], 1)


async def test_a_render_counts_as_buffered_until_it_is_read(
    monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """A slow reader holds it long after it was stored."""
    buffers: list[BufferedRenders] = []

    def create(max_bytes: int) -> BufferedRenders:
        buffers.append(BufferedRenders(max_bytes))
        return buffers[-1]

    monkeypatch.setattr(cache, "BufferedRenders", create)
    service = await start(work=True)
    cat = await service.caller("cat")
    media_id = await ready(cat, noise(1800, 1200))
    request = download_service_pb2.RenderImageRequest(media_id=media_id, format=Operation.TIFF)
    little = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 16)]
    async with grpc.aio.insecure_channel(service.address, options=little) as channel:
        slow = Caller(service.address, channel, cat.token).downloads.RenderImage(
            request, metadata=cat.metadata
        )
        await slow.read()
        await kept(service, 1)
        size = await size_of_kept(service)
        (buffered,) = buffers
        assert buffered.has_room(cache.MAX_BUFFERED_BYTES - size)
        assert not buffered.has_room(cache.MAX_BUFFERED_BYTES - size + 1)
        slow.cancel()

    async def empty() -> bool:
        return buffered.has_room(cache.MAX_BUFFERED_BYTES)

    await eventually_async(empty)


async def size_of_kept(service: Running) -> int:
    async with service.database() as db:
        rows = await db.execute(
            "select size_bytes from blobs where blob_id = (select blob_id from renders)"
        )
        row = await rows.fetchone()
    assert row is not None
    return int(row[0])


async def test_a_render_beyond_the_memory_limit_is_stored_before_it_is_served(
    monkeypatch: pytest.MonkeyPatch, start: Start, renders: list[str]
) -> None:
    monkeypatch.setattr(cache, "MAX_BUFFERED_BYTES", 100)
    service = await start(work=True)
    cat = await service.caller("cat")
    media_id = await ready(cat, jpeg())
    before = stored(service)
    answer = await render(cat, media_id, width=20)
    (file,) = stored(service) - before
    assert file.read_bytes() == answer.content
    assert (await render(cat, media_id, width=20)).content == answer.content
    assert len(renders) == 1


# Links


@pytest.fixture
async def anybody(working: Running) -> AsyncIterator[Anybody]:
    async with somebody(working) as anybody:
        yield anybody


async def test_a_link_opens_only_its_own_render(
    cat: Caller, anybody: Anybody, media_id: str, renders: list[str]
) -> None:
    token = await link(cat, media_id, ops="resize:20x,convert:webp")
    answer = await anybody.read(token, BROWSER)
    made = Answer(answer.content, answer.headers)
    assert (made.image.format, made.size) == ("WEBP", (20, 15))
    assert made.headers["cache-control"] == "private, max-age=300"
    assert "vary" not in made.headers
    part = await anybody.read(token, ("range", "bytes=0-9"))
    assert part.content == made.content[:10]
    own = await render(cat, media_id, width=20, format=Operation.WEBP)
    assert (own.headers["etag"], len(renders)) == (made.headers["etag"], 1)


async def test_a_link_without_a_format_negotiates_the_best_accepted_one(
    cat: Caller, anybody: Anybody, media_id: str
) -> None:
    token = await link(cat, media_id, ops="resize:20x")
    for accept, expected in ((OLDER, "WEBP"), (BROWSER, "AVIF"), (("accept", "*/*"), "JPEG")):
        answer = await anybody.read(token, accept)
        assert Answer(answer.content, answer.headers).image.format == expected
        assert answer.headers["vary"] == "accept"


@pytest.mark.usefixtures("impatient")
async def test_a_link_to_a_render_requires_a_ready_undeleted_media(
    ann: Caller, service: Running
) -> None:
    """No worker runs, so the media stays PENDING."""
    media = await ann.store(jpeg())
    token = await link(ann, media.media_id, ops="resize:20x")
    async with somebody(service) as anybody:
        assert (await refused(anybody.read(token))).reason == "MEDIA_NOT_READY"
        request = media_service_pb2.DeleteMediaRequest(media_id=media.media_id)
        await ann.call(ann.media.DeleteMedia, request)
        assert (await refused(anybody.read(token))).reason == "LINK_INVALID"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"ops": "nosuch"}, "INVALID_OPERATIONS"),
        ({"ops": ",".join(["text:" + "é" * 28] * 29)}, "INVALID_OPERATIONS"),
        ({"ops": "negate", "rendition": "small"}, "INVALID_FIELD"),
        ({"ops": "negate", "direct": True}, "INVALID_FIELD"),
    ],
)
async def test_invalid_render_links_are_not_signed(
    ann: Caller, asked: dict[str, Any], reason: str
) -> None:
    media = await ann.store(jpeg())
    request = download_service_pb2.SignUrlRequest(media_id=media.media_id, **asked)
    assert (await refused(ann.call(ann.downloads.SignUrl, request))).reason == reason
