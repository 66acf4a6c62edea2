"""Jobs over REST, and watched with grpcurl."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.grpcurl import API, Grpcurl, many
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import client_of, refusal, store
from tests.support.rest_events import events
from tests.support.service import Service


def test_a_rendition_is_requested_watched_and_read(alice: httpx.Client) -> None:
    media = store(alice, jpeg(width=64, height=48))["mediaId"]
    answer = alice.post(f"/v1/media/{media}:process", json={"ops": "resize:32x,convert:WEBP"})
    assert answer.status_code == 200
    job = answer.json()
    assert (job["type"], job["mediaId"]) == ("PROCESS", media)
    with alice.stream("GET", f"/v1/jobs/{job['jobId']}:watch") as watch:
        assert watch.headers["content-type"].startswith("text/event-stream")
        seen = list(events(watch))
    done = seen[-1]
    assert (done["state"], done["progressPercent"]) == ("SUCCEEDED", 100)
    made = done["rendition"]
    assert (made["contentType"], made["width"], made["height"]) == ("image/webp", 32, 24)
    path = f"/v1/media/{media}/renditions/{made['name']}/content"
    content = alice.get(path)
    assert (content.status_code, content.headers["content-type"]) == (200, "image/webp")
    assert str(len(content.content)) == made["sizeBytes"]
    part = alice.get(path, headers={"range": "bytes=8-11"})
    assert (part.status_code, part.content) == (206, b"WEBP")
    listed = alice.get("/v1/jobs", params={"mediaId": media, "type": "PROCESS"}).json()
    assert [one["jobId"] for one in listed["jobs"]] == [job["jobId"]]
    assert alice.get(f"/v1/jobs/{job['jobId']}").json() == done
    deleted = alice.delete(f"/v1/media/{media}/renditions/{made['name']}")
    assert deleted.status_code == 200
    assert made["name"] not in [each["name"] for each in deleted.json()["renditions"]]
    assert refusal(alice.get(path)) == (404, "RENDITION_NOT_FOUND")


@pytest.fixture
def bob(service: Service) -> Iterator[httpx.Client]:
    with client_of(service, "bob") as client:
        yield client


def test_refused_jobs_have_the_documented_http_status(
    alice: httpx.Client, bob: httpx.Client
) -> None:
    media = store(alice, jpeg())["mediaId"]
    video = store(alice, video_bytes(5000))["mediaId"]

    process = f"/v1/media/{media}:process"
    assert refusal(alice.post(process, json={"ops": "fly"})) == (400, "INVALID_OPERATIONS")
    not_mine = bob.post(process, json={"ops": "negate"})
    assert refusal(not_mine) == (404, "MEDIA_NOT_FOUND")
    not_an_image = alice.post(f"/v1/media/{video}:process", json={"ops": "negate"})
    assert refusal(not_an_image) == (422, "OPERATION_NOT_APPLICABLE")
    (ingest,) = alice.get("/v1/jobs", params={"mediaId": media}).json()["jobs"]
    path = f"/v1/jobs/{ingest['jobId']}"
    assert refusal(alice.post(f"{path}:cancel", json={})) == (409, "JOB_NOT_CANCELLABLE")
    assert refusal(bob.get(path)) == (404, "JOB_NOT_FOUND")
    assert refusal(bob.get(f"{path}:watch")) == (404, "JOB_NOT_FOUND")
    with alice.stream("GET", f"{path}:watch") as watch:
        assert list(events(watch))[-1]["state"] == "SUCCEEDED"
    assert refusal(alice.post(f"{path}:retry", json={})) == (409, "JOB_NOT_RETRYABLE")


def test_a_batch_starts_jobs_and_operations_are_listed(
    alice: httpx.Client, http: httpx.Client
) -> None:
    media = store(alice, jpeg())["mediaId"]
    requests = [{"mediaId": media, "ops": ops} for ops in ("negate", "resize:10x")]
    answer = alice.post("/v1/media:batchProcess", json={"requests": requests})
    jobs = [result["job"] for result in answer.json()["results"]]
    assert [job["mediaId"] for job in jobs] == [media, media]
    mixed = {"requests": [{"mediaId": media, "ops": ops} for ops in ("negate", "fly")]}
    answer = alice.post("/v1/media:batchProcess", json=mixed)
    good, bad = answer.json()["results"]
    assert good["job"]["mediaId"] == media
    assert bad["error"]["details"][0]["reason"] == "INVALID_OPERATIONS"
    answer = alice.post("/v1/media:batchProcess", json={**mixed, "atomic": True})
    assert refusal(answer) == (400, "INVALID_OPERATIONS")
    manual = http.get("/v1/operations").json()
    assert {"resize", "crop", "filter"} <= {one["name"] for one in manual["operations"]}


def test_an_idempotency_key_header_starts_a_job_once(alice: httpx.Client) -> None:
    media = store(alice, jpeg())["mediaId"]
    path, batch_path = f"/v1/media/{media}:process", "/v1/media:batchProcess"
    key = {"Idempotency-Key": "a key of my own"}
    first, again = (alice.post(path, json={"ops": "negate"}, headers=key).json() for _ in range(2))
    assert first["jobId"] == again["jobId"]
    other = alice.post(path, json={"ops": "blur:2"}, headers=key)
    assert refusal(other) == (409, "IDEMPOTENCY_CONFLICT")
    body = {"requests": [{"mediaId": media, "ops": f"blur:{n}"} for n in (3, 4)]}
    first, again = (alice.post(batch_path, json=body, headers=key).json() for _ in range(2))
    ids = [[result["job"]["jobId"] for result in each["results"]] for each in (first, again)]
    assert ids[0] == ids[1]
    job = f"/v1/jobs/{ids[0][0]}"
    with alice.stream("GET", f"{job}:watch") as watch:
        list(events(watch))
    not_retryable = alice.post(f"{job}:retry", json={}, headers=key)
    assert refusal(not_retryable) == (409, "JOB_NOT_RETRYABLE")


def test_grpcurl_watches_a_job_to_its_end(
    alice: httpx.Client, service: Service, grpcurl: Grpcurl
) -> None:
    media = store(alice, jpeg())["mediaId"]
    job = alice.post(f"/v1/media/{media}:process", json={"ops": "resize:20x"}).json()
    request = json.dumps({"job_id": job["jobId"]})
    method = f"{API}.JobService/WatchJob"
    seen = many(grpcurl("-d", request, service.grpc_address, method, user="alice"))
    assert seen[-1]["state"] == "SUCCEEDED"
    percents = [one.get("progress_percent", 0) for one in seen]
    assert percents == sorted(percents)
