"""Who sees which media, over gRPC and over REST: all agree with a model, for random grants."""

from random import Random

import grpc
import pytest
from mediaservice.v1 import media_service_pb2

from media_service.access.principal import Principal
from media_service.db.database import Database
from tests.support.access_model import USERS, build, keys_of, model_role, random_world
from tests.support.long_form import examples
from tests.support.rest import refusal
from tests.support.rpc.catalogue import listed
from tests.support.rpc.front import Open
from tests.support.rpc.server import Caller, refused, token

CLAIMS = ["", "acme", "unlisted"]


async def gets(caller: Caller, media_id: str) -> bool:
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    call = caller.media.GetMedia(request, metadata=caller.metadata)
    if await call.code() == grpc.StatusCode.OK:
        return True
    assert (await refused(call)).reason == "MEDIA_NOT_FOUND"
    return False


@pytest.mark.parametrize("seed", range(examples(2, 20)))
async def test_what_a_caller_sees_is_what_the_grants_say(front: Open, seed: int) -> None:
    world = random_world(Random(seed))  # noqa: S311
    async with front() as to:
        async with Database(to.service.database_url, 2) as database, database.transaction() as db:
            await build(db, world)
        for user in USERS:
            for org in CLAIMS:
                claims = {"org": org} if org else {}
                visible = {
                    each.media_id
                    for each in world.media
                    if model_role(world, Principal(user, org), each.owner, keys_of(each))
                }
                caller = await to.service.caller(user, **claims)
                bearer = f"Bearer {token(user, **claims)}"
                async with to.client(authorization=bearer) as http:
                    for each in world.media:
                        seen = each.media_id in visible
                        assert await gets(caller, each.media_id) == seen, (user, org)
                        answer = await http.get(f"/v1/media/{each.media_id}")
                        if seen:
                            assert answer.json()["mediaId"] == each.media_id
                        else:
                            assert refusal(answer) == (404, "MEDIA_NOT_FOUND")
                    found = (await http.get("/v1/media")).json()["media"]
                assert {media["mediaId"] for media in found} == visible
                assert {media.media_id for media in await listed(caller)} == visible
