"""Jobs, from the client and from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mediaservice.v1 import job_pb2

from media_service.cli.main import cli
from media_service.ids import new_id
from media_service_client import AsyncClient, MediaServiceError
from tests.support.fake_server import Fake, Fault

Job = job_pb2.Job


Run = Callable[..., Result]


@pytest.fixture
def media_id(fake: Fake) -> str:
    media_id = new_id()
    fake.store(b"data", media_id, "a.png")
    return media_id


@pytest.fixture
def run(address: str, tmp_path: Path) -> Run:
    environment = {
        "MEDIA_ADDRESS": address,
        "MEDIA_TOKEN": "secret",
        "MEDIA_DATA_DIR": str(tmp_path),
    }

    def run(*arguments: object) -> Result:
        return CliRunner(env=environment).invoke(cli, [str(argument) for argument in arguments])

    return run


async def test_a_job_is_started_once_even_if_the_response_is_lost(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    fake.inject("ProcessMedia", Fault("UNAVAILABLE", at_finish=True))
    job = await client.process(media_id, "resize:10x", rendition="tiny", priority=Job.HIGH)
    assert list(fake.jobs) == [job.job_id]
    assert (job.rendition_name, job.priority) == ("tiny", Job.HIGH)


async def test_a_media_is_reprocessed_once_even_if_the_response_is_lost(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    fake.inject("ReprocessMedia", Fault("UNAVAILABLE", at_finish=True))
    job = await client.reprocess(media_id)
    assert [job.type for job in fake.jobs.values()] == [Job.INGEST, Job.PROCESS]
    assert (job.type, job.media_id) == (Job.INGEST, media_id)


async def test_a_watch_survives_a_disconnect_and_ends_with_the_job(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    job = await client.process(media_id, "resize:10x")
    fake.inject("WatchJob", Fault("UNAVAILABLE"))
    seen = [(job.state, job.progress_percent) async for job in client.watch_job(job.job_id)]
    assert seen == [(Job.QUEUED, 0), (Job.QUEUED, 0), (Job.RUNNING, 50), (Job.SUCCEEDED, 100)]
    assert (await client.job(job.job_id)).state == Job.SUCCEEDED


async def test_jobs_are_listed_across_pages(client: AsyncClient, fake: Fake, media_id: str) -> None:
    made = [(await client.process(media_id, f"resize:{n}x")).job_id for n in range(1, 6)]
    assert [job.job_id async for job in client.jobs()] == made
    await client.cancel_job(made[2])
    cancelled = [job.job_id async for job in client.jobs(state=Job.CANCELLED)]
    assert cancelled == [made[2]]


async def test_a_job_retry_succeeds_when_its_response_is_lost(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    job = await client.process(media_id, "resize:10x")
    with pytest.raises(MediaServiceError) as caught:
        await client.retry_job(job.job_id)
    assert caught.value.reason == "JOB_NOT_RETRYABLE"
    await client.cancel_job(job.job_id)
    fake.inject("RetryJob", Fault("UNAVAILABLE", at_finish=True))
    assert (await client.retry_job(job.job_id)).state == Job.QUEUED


async def test_operations_are_listed(client: AsyncClient, fake: Fake) -> None:
    assert [info.name for info in await client.operations()] == ["blur", "flip"]


async def test_a_rendition_is_downloaded(
    client: AsyncClient, fake: Fake, media_id: str, tmp_path: Path
) -> None:
    fake.renditions["small"] = b"smaller" * 50_000
    rendition = fake.stored[media_id][0].renditions.add(name="small", size_bytes=350_000)
    rendition.checksums.crc32c = 1
    with pytest.raises(MediaServiceError) as caught:
        await client.download(media_id, tmp_path / "bad", rendition="small")
    assert caught.value.reason == "CHECKSUM_MISMATCH"
    rendition.ClearField("checksums")
    fake.inject("Download", Fault("UNAVAILABLE", after=200_000))
    await client.download(media_id, tmp_path / "small", rendition="small")
    assert (tmp_path / "small").read_bytes() == fake.renditions["small"]


def test_process_prints_the_job(run: Run, fake: Fake, media_id: str) -> None:
    result = run("process", media_id, "resize:10x", "compress:85", "--name", "tiny")
    [job_id] = fake.jobs
    assert result.stdout == f"{job_id}\tQUEUED\tPROCESS\t0\t{media_id}\ttiny\n"


def test_process_waits_for_the_end(run: Run, fake: Fake, media_id: str) -> None:
    result = run("process", media_id, "resize:10x", "--watch", "--priority", "low")
    [job] = fake.jobs.values()
    assert job.priority == Job.LOW
    assert result.stdout == f"{job.job_id}\tSUCCEEDED\tPROCESS\t100\t{media_id}\tp-1\n"


def test_process_fails_with_its_job(run: Run, fake: Fake, media_id: str) -> None:
    fake.inject("WatchJob", Fault("TYPE_NOT_ALLOWED", at_finish=True))
    result = run("process", media_id, "resize:10x", "--watch")
    assert result.exit_code == 1
    assert "it is TYPE_NOT_ALLOWED" in result.stderr
    assert "\tFAILED\t" in result.stdout


def test_process_explains_an_invalid_pipeline(run: Run, media_id: str) -> None:
    result = run("process", media_id, "nonsense")
    assert result.exit_code == 1
    assert "INVALID_OPERATIONS" in result.stderr


def test_reprocess_waits_for_its_job_and_those_of_presets(
    run: Run, fake: Fake, media_id: str
) -> None:
    run("process", media_id, "resize:10x", "--name", "of a caller")
    result = run("reprocess", media_id)
    _, ingest, preset = fake.jobs
    assert result.stdout.splitlines() == [
        f"{ingest}\tSUCCEEDED\tINGEST\t100\t{media_id}\t",
        f"{preset}\tSUCCEEDED\tPROCESS\t100\t{media_id}\tpreview",
    ]


def test_reprocess_prints_json(run: Run, fake: Fake, media_id: str) -> None:
    lines = run("reprocess", media_id, "--json").stdout.splitlines()
    jobs = [json.loads(line) for line in lines]
    assert [(job["type"], job["state"]) for job in jobs] == [
        ("INGEST", "SUCCEEDED"),
        ("PROCESS", "SUCCEEDED"),
    ]


def test_reprocess_fails_with_one_of_its_jobs(run: Run, fake: Fake, media_id: str) -> None:
    fake.inject("WatchJob", Fault("TYPE_NOT_ALLOWED", at_finish=True))
    result = run("reprocess", media_id)
    assert result.exit_code == 1
    assert "it is TYPE_NOT_ALLOWED" in result.stderr
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["FAILED", "SUCCEEDED"]


def test_the_operations_command_prints_the_manual(run: Run) -> None:
    lines = run("operations").stdout.splitlines()
    assert lines == ["blur\tblur:4\tMakes it blurred.", "flip\t\tMirrors it."]
    assert "sigma  (0.3 to 200; default 3)" in run("operations", "blur").stdout
    assert "direction  (HORIZONTAL, VERTICAL)" in run("operations", "flip").stdout
    assert "there are blur, flip" in run("operations", "blurr").stderr


def test_jobs_are_listed_cancelled_and_retried(run: Run, fake: Fake, media_id: str) -> None:
    for _ in range(3):
        run("process", media_id, "resize:10x")
    first, second, third = fake.jobs
    assert [line.split("\t")[0] for line in run("jobs").stdout.splitlines()] == [
        first,
        second,
        third,
    ]
    assert "\tCANCELLED\t" in run("cancel", first).stdout
    assert run("jobs", "--state", "cancelled").stdout.startswith(first)
    result = run("retry", second, first)
    assert result.exit_code == 1
    assert "JOB_NOT_RETRYABLE" in result.stderr
    assert result.stdout.startswith(f"{first}\tQUEUED")


def test_a_link_can_open_a_render(run: Run, fake: Fake, media_id: str) -> None:
    url = run("link", media_id, "resize:10x", "convert:webp").stdout
    assert url.endswith("&ops=resize:10x,convert:webp\n")
