"""Policies over REST, also of forms."""

from tests.support.media.small_files import jpeg, png
from tests.support.rest import refusal
from tests.support.rpc.front import Open


async def test_a_policy_refuses_bodies_forms_and_sessions_over_rest(front: Open) -> None:
    async with front() as to, to.client("ann") as ann:
        created = await ann.post("/v1/projects", json={"displayName": "Vacation"})
        project = created.json()["projectId"]
        resource = f"project:{project}"
        policy = {"allowedTypes": ["image/jpeg"], "maxSizeBytes": "10000", "maxDurationSeconds": 60}
        body = {"resource": resource, "policy": policy}
        assert (await ann.post("/v1/policies", json=body)).status_code == 200
        found = (await ann.get("/v1/policies", params={"resource": resource})).json()
        assert found["policy"]["allowedTypes"] == ["image/jpeg"]
        assert found["policy"]["maxDurationSeconds"] == 60

        of_project, form = {"spec.projectId": project}, {"projectId": project}
        uploads = "/v1/media:upload"
        refused = await ann.post(uploads, params=of_project, content=png())
        assert refusal(refused) == (415, "TYPE_NOT_ALLOWED")
        refused = await ann.post(uploads, data=form, files={"file": ("a.png", png())})
        assert refusal(refused) == (415, "TYPE_NOT_ALLOWED")
        refused = await ann.post(uploads, params=of_project, content=jpeg() + bytes(10_000))
        assert refusal(refused) == (413, "FILE_TOO_LARGE")
        spec = {"projectId": project, "sizeBytes": "10001"}
        refused = await ann.post("/v1/uploads", json=spec)
        assert refusal(refused) == (413, "FILE_TOO_LARGE")
        stored = await ann.post(uploads, data=form, files={"file": ("a.jpg", jpeg())})
        assert stored.status_code == 201
