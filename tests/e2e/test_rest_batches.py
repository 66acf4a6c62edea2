"""Many media in one call, as a stranger uses it: create, upload, move and delete, with errors for
single ones."""

from typing import Any

import httpx

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of
from tests.support.service import Service

NOWHERE = "00000000-0000-4000-8000-000000000000"


def reasons(answer: dict[str, Any]) -> list[str]:
    """Why each item failed; empty if it did not."""
    return [
        next((detail["reason"] for detail in each["error"]["details"] if "reason" in detail), "")
        if "error" in each
        else ""
        for each in answer["results"]
    ]


def test_media_are_created_moved_and_deleted_in_batches(service: Service) -> None:
    with client_of(service, f"user-{new_id()}") as owner:
        story(owner)


def story(owner: httpx.Client) -> None:

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = owner.post(path, json=body).raise_for_status().json()
        return answer

    specs = [{"filename": "a.jpg"}, {"projectId": "not-there"}, {"filename": "b.jpg"}]
    created = post("/v1/uploads:batchCreate", {"requests": [{"spec": each} for each in specs]})
    assert reasons(created) == ["", "PROJECT_NOT_FOUND", ""]
    uploads = [each["upload"] for each in created["results"] if "upload" in each]
    for upload in uploads:
        path = f"/v1/uploads/{upload['uploadId']}"
        headers = {"upload-offset": "0", "content-type": "image/jpeg"}
        owner.patch(f"{path}/content", content=jpeg(), headers=headers).raise_for_status()
        owner.post(f"{path}:complete", json={}).raise_for_status()
    ids = [upload["mediaId"] for upload in uploads]
    project = post("/v1/projects", {"displayName": "Gala"})["projectId"]
    moved = post("/v1/media:batchMove", {"mediaIds": [*ids, NOWHERE], "projectId": project})
    assert reasons(moved) == ["", "", "MEDIA_NOT_FOUND"]
    assert (moved["changedCount"], moved["failedCount"]) == (2, 1)
    chosen = {"filter": f'project_id="{project}"', "validateOnly": True}
    assert post("/v1/media:batchDelete", chosen)["changedCount"] == 2
    refused = owner.post(
        "/v1/media:batchDelete", json={"mediaIds": [ids[0], NOWHERE], "atomic": True}
    )
    assert refused.status_code == 404
    read = post("/v1/media:batchGet", {"mediaIds": ids})
    assert [each["media"]["projectId"] for each in read["results"]] == [project] * 2
    deleted = post("/v1/media:batchDelete", {"mediaIds": [ids[0], NOWHERE]})
    assert reasons(deleted) == ["", "MEDIA_NOT_FOUND"]
    listed = owner.get("/v1/media", params={"projectId": project}).json()["media"]
    assert [media["mediaId"] for media in listed] == [ids[1]]
