"""Quotas over REST."""

import asyncio
from collections import Counter
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
            "deleted": {"media": "0", "bytes": "0", "renditionBytes": "0"},
        }
        hidden = await ann.get("/v1/quotas:usage", params={"account": "owner:/user:bob"})
        assert refusal(hidden) == (404, "RESOURCE_NOT_FOUND")


async def test_of_200_concurrent_uploads_exactly_as_many_are_admitted_as_fit(front: Open) -> None:
    size = len(jpeg())
    async with front() as to, to.client("root") as admin, to.client("ann") as ann:
        await make_administrator(to.service, "root")
        limits = [{"measure": "BYTES", "limit": str(100 * size + size - 1)}]
        await admin.post("/v1/quotas", json={"account": ANN, "limits": limits})
        upload = [ann.post("/v1/media:upload", content=jpeg()) for _ in range(200)]
        answers = await asyncio.gather(*upload)
        assert Counter(answer.status_code for answer in answers) == {201: 100, 409: 100}
        refused = [refusal(answer) for answer in answers if answer.status_code == 409]
        assert set(refused) == {(409, "QUOTA_EXCEEDED")}
        found = (await ann.get("/v1/quotas", params={"account": ANN})).json()
        (entry,) = [each for each in found["entries"] if each["limit"]["measure"] == "BYTES"]
        assert (entry["used"], entry["reserved"]) == (str(100 * size), "0")
