"""Organizations, projects, groups and grants over REST, through Envoy."""

from typing import Any

import httpx

from tests.support.media.small_files import jpeg
from tests.support.rest import refusal
from tests.support.rpc.front import Open
from tests.support.rpc.sharing import make_administrator

ACME = "/v1/organizations/acme"
NOT_FOUND, FORBIDDEN, CONFLICT = 404, 403, 409


async def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def test_a_team_from_its_organization_to_its_end(front: Open) -> None:
    async with (
        front() as to,
        to.client("root") as root,
        to.client("ann") as ann,
        to.client("bob") as bob,
    ):
        await make_administrator(to.service, "root")

        # An organization, its members, and a group.
        new = {"organizationId": "acme", "displayName": "Acme"}
        refused = await ann.post("/v1/organizations", json=new)
        assert refusal(refused) == (NOT_FOUND, "RESOURCE_NOT_FOUND")
        created = await ok(await root.post("/v1/organizations", json=new))
        assert (created["role"], created["issuer"]) == ("OWNER", "")
        again = await root.post("/v1/organizations", json=new)
        assert refusal(again) == (CONFLICT, "ORGANIZATION_EXISTS")
        for user, role in (("ann", "MANAGER"), ("bob", "ROLE_UNSPECIFIED")):
            grant = {"resource": "organization:acme", "grantee": f"user:{user}", "role": role}
            assert (await ok(await root.post("/v1/grants", json=grant)))["role"] == role
        assert refusal(await bob.get(f"{ACME}/groups")) == (NOT_FOUND, "ORGANIZATION_NOT_FOUND")
        listed = await ok(await bob.get("/v1/organizations"))
        assert [each["organizationId"] for each in listed["organizations"]] == ["acme"]
        group = await ok(await ann.post(f"{ACME}/groups", json={"displayName": "Editors"}))
        members = f"/v1/groups/{group['groupId']}/members"
        await ok(await ann.post(members, json={"member": "user:bob"}))
        assert [each["member"] for each in (await ok(await ann.get(members)))["members"]] == [
            "user:bob"
        ]

        # A project for the group, and a media in it.
        owner = {"type": "user", "id": "ann", "organizationId": "acme"}
        project = await ok(
            await ann.post("/v1/projects", json={"displayName": "Vacation", "owner": owner})
        )
        path, resource = f"/v1/projects/{project['projectId']}", f"project:{project['projectId']}"
        assert refusal(await bob.get(path)) == (NOT_FOUND, "PROJECT_NOT_FOUND")
        grant = {"resource": resource, "grantee": f"group:{group['groupId']}", "role": "EDITOR"}
        await ok(await ann.post("/v1/grants", json=grant))
        assert (await ok(await bob.get(path)))["role"] == "EDITOR"
        found = await ok(await bob.get("/v1/access", params={"resource": resource}))
        assert found == {"resource": resource, "role": "EDITOR"}
        renamed = await bob.patch(path, json={"displayName": "Holidays"})
        assert refusal(renamed) == (FORBIDDEN, "ROLE_REQUIRED")
        renamed = await ok(await ann.patch(path, json={"displayName": "Holidays"}))
        assert renamed["displayName"] == "Holidays"
        params = {"spec.filename": "a.jpg", "spec.projectId": project["projectId"]}
        media = await ok(await bob.post("/v1/media:upload", params=params, content=jpeg()))
        assert media["owner"]["organizationId"] == "acme"
        assert media["projectId"] == project["projectId"]
        shown = await ok(await ann.get("/v1/media", params={"projectId": project["projectId"]}))
        assert [each["mediaId"] for each in shown["media"]] == [media["mediaId"]]
        grants = await ok(await ann.get("/v1/grants", params={"resource": resource}))
        assert {each["grantee"]: each["role"] for each in grants["grants"]} == {
            f"group:{group['groupId']}": "EDITOR",
            "user:ann": "OWNER",
        }

        # Bob leaves the group, and has nothing any more.
        await ok(await ann.delete(members, params={"member": "user:bob"}))
        assert refusal(await bob.get(path)) == (NOT_FOUND, "PROJECT_NOT_FOUND")
        assert refusal(await ann.delete(path)) == (CONFLICT, "PROJECT_NOT_EMPTY")
        own = await bob.post(f"/v1/media/{media['mediaId']}:transfer", json={"projectId": ""})
        assert (await ok(own))["projectId"] == ""
        taken = {"resource": resource, "grantee": grant["grantee"]}
        await ok(await ann.delete("/v1/grants", params=taken))
        await ok(await ann.delete(path))

        # UpdateOrganization, and DeleteOrganization once nothing is in it.
        changed = await ok(await ann.patch(ACME, json={"displayName": "Acme Inc."}))
        assert changed["displayName"] == "Acme Inc."
        issuer = {"issuer": "https://login.example"}
        assert refusal(await ann.patch(ACME, json=issuer)) == (FORBIDDEN, "ROLE_REQUIRED")
        changed = await ok(await root.patch(ACME, json=issuer))
        assert (changed["displayName"], changed["issuer"]) == ("Acme Inc.", issuer["issuer"])
        assert refusal(await ann.delete(ACME)) == (FORBIDDEN, "ROLE_REQUIRED")
        assert refusal(await root.delete(ACME)) == (CONFLICT, "ORGANIZATION_NOT_EMPTY")
        for verb in ("delete", "post"):
            purge = ":purge" if verb == "post" else ""
            await ok(await bob.request(verb, f"/v1/media/{media['mediaId']}{purge}"))
        await ok(await root.delete(ACME))
        for answer in (await root.delete(ACME), await ann.patch(ACME, json={})):
            assert refusal(answer) == (NOT_FOUND, "ORGANIZATION_NOT_FOUND")
        for client in (root, ann):
            assert (await ok(await client.get("/v1/organizations")))["organizations"] == []
        again = await root.post("/v1/organizations", json=new)
        assert refusal(again) == (CONFLICT, "ORGANIZATION_EXISTS"), "its id stays its own"
