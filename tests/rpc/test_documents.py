"""Documents: pages rendered as images, and their text."""

import io
from typing import Any

import pytest
from google.rpc import error_details_pb2
from mediaservice.v1 import (
    download_service_pb2,
    job_pb2,
    job_service_pb2,
    media_pb2,
    processing_service_pb2,
)
from PIL import Image

from tests.rpc.test_content_types import settled
from tests.support.media.pdf_files import RED, Page, pdf, square, text
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running

Job = job_pb2.Job


@pytest.fixture
async def ann(working: Running) -> Caller:
    return await working.caller("ann")


@pytest.fixture
async def report(ann: Caller) -> media_pb2.Media:
    """Two pages, a word on the first and a red square on the second."""
    return await ann.store(pdf(Page(text("Grüße")), Page(square(RED, 0, 0))), "report.pdf")


async def made(ann: Caller, media_id: str, ops: str, **fields: Any) -> Job:
    """The job after it has ended."""
    request = processing_service_pb2.ProcessMediaRequest(media_id=media_id, ops=ops, **fields)
    job = await ann.call(ann.processing.ProcessMedia, request)
    watch = job_service_pb2.WatchJobRequest(job_id=job.job_id)
    return [job async for job in ann.jobs.WatchJob(watch, metadata=ann.metadata)][-1]


async def content(ann: Caller, job: Job) -> bytes:
    request = download_service_pb2.DownloadRequest(
        media_id=job.media_id, rendition=job.rendition.name
    )
    call = ann.downloads.Download(request, metadata=ann.metadata)
    return b"".join([message.data async for message in call])


async def test_a_page_of_a_document_is_rendered_as_an_image(
    ann: Caller, report: media_pb2.Media
) -> None:
    job = await made(ann, report.media_id, "page:2,resize:100x")
    assert (job.state, job.rendition.content_type) == (Job.SUCCEEDED, "image/jpeg")
    with Image.open(io.BytesIO(await content(ann, job))) as image:
        assert image.size == (job.rendition.width, job.rendition.height) == (100, 150)
        red, green, _ = image.crop((10, 140, 11, 141)).tobytes()
        assert red > 200
        assert green < 50
    job = await made(ann, report.media_id, "page:1:size=64,convert:WEBP")
    assert (job.rendition.content_type, job.rendition.height) == ("image/webp", 64)


async def test_the_text_of_a_document_is_a_rendition(ann: Caller, report: media_pb2.Media) -> None:
    job = await made(ann, report.media_id, "extract_text", rendition_name="words")
    assert job.rendition.content_type == "text/plain; charset=utf-8"
    assert (await content(ann, job)).decode() == "Grüße\f\f"


async def test_a_missing_page_of_a_document_is_reported(
    ann: Caller, report: media_pb2.Media
) -> None:
    job = await made(ann, report.media_id, "page:3")
    assert job.state == Job.FAILED
    info = error_details_pb2.ErrorInfo()
    assert job.error.details[0].Unpack(info)
    assert info.reason == "OPERATION_NOT_APPLICABLE"
    assert "it has 2 pages" in job.error.message


@pytest.mark.parametrize(
    ("name", "data", "warning"),
    [
        ("photo.jpg", jpeg()[:-2], "END_MISSING"),
        ("report.pdf", pdf(Page()).rstrip()[:-5], "END_MISSING"),
        ("report.pdf", pdf(Page()) + bytes(3000), "TRAILING_BYTES"),
    ],
)
async def test_a_fault_that_readers_tolerate_is_a_warning(
    ann: Caller, name: str, data: bytes, warning: str
) -> None:
    media = await settled(ann, await ann.store(data, name))
    assert media.state == media_pb2.Media.READY
    assert [media_pb2.Media.Warning.Name(each) for each in media.warnings] == [warning]
    assert media.blurhash or name == "report.pdf"
