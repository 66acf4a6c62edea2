"""Quotas over REST."""

from datetime import UTC, datetime

from tests.support.media.small_files import jpeg
from tests.support.rest import refusal
from tests.support.rpc.front import Open
from tests.support.rpc.sharing import make_administrator

ANN = "owner:/user:ann"


async def test_an_upload_beyond_a_quota_gets_409_with_what_is_used(front: Open) -> None:
    size = len(jpeg())
    async with front() as to, to.client("root") as admin, to.client("ann") as ann:
        await make_administrator(to.service, "root")
        limits = [{"measure": "BYTES", "limit": str(size)}]
        body = {"account": ANN, "limits": limits}
        assert refusal(await ann.post("/v1/quotas", json=body)) == (403, "ROLE_REQUIRED")
        assert (await admin.post("/v1/quotas", json=body)).status_code == 200
        assert (await ann.post("/v1/media:upload", content=jpeg())).status_code == 201
        refused = await ann.post("/v1/media:upload", content=jpeg())
        assert refusal(refused) == (409, "QUOTA_EXCEEDED")
        info, failure = refused.json()["details"]
        assert (info["metadata"]["used"], info["metadata"]["wanted"]) == (str(size), str(size))
        assert failure["@type"].endswith("google.rpc.QuotaFailure")
        assert failure["violations"][0]["subject"] == ANN
        found = (await ann.get("/v1/quotas", params={"account": ANN})).json()
        assert found["entries"][0]["used"] == str(size)
        total = {"media": "1", "bytes": str(size), "renditionBytes": "0"}
        counted = (await ann.get("/v1/quotas:usage", params={"account": ANN})).json()
        assert counted == {
            "account": ANN,
            "total": total,
            "kinds": [{"kind": "IMAGE", "amount": total}],
            "projects": [{"projectId": "", "amount": total}],
            "days": [{"date": datetime.now(UTC).date().isoformat(), "amount": total}],
        }
        hidden = await ann.get("/v1/quotas:usage", params={"account": "owner:/user:bob"})
        assert refusal(hidden) == (404, "RESOURCE_NOT_FOUND")
