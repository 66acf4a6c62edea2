"""`media-service share-link`, against a real server."""

import asyncio
import json
from functools import partial
from pathlib import Path

from click.testing import CliRunner, Result

from media_service.cli.main import cli
from tests.support.media.small_files import jpeg
from tests.support.rpc.links import somebody, token_of
from tests.support.rpc.server import Running, refused, token

PASSWORD = "correct horse"


async def test_a_link_is_created_opened_listed_and_revoked(
    service: Running, tmp_path: Path
) -> None:
    async def result_of(*arguments: str, stdin: str = "", credential: str = "") -> Result:
        environ = {
            "MEDIA_ADDRESS": service.address,
            "MEDIA_DATA_DIR": str(tmp_path),
            "MEDIA_TOKEN": credential or token("ann"),
        }
        invoke = partial(CliRunner(env=environ).invoke, cli, arguments, input=stdin)
        return await asyncio.to_thread(invoke)

    async def run(*arguments: str, **how: str) -> str:
        result = await result_of(*arguments, **how)
        assert result.exit_code == 0, result.output
        return result.stdout

    media_id = (await (await service.caller("ann")).store(jpeg())).media_id
    target = f"media:{media_id}"
    options = ("--expires", "30d", "--max-uses", "3", "--name", "for Bob", "--password", "--json")
    created = await run("share-link", "create", target, *options, stdin=f"{PASSWORD}\n" * 2)
    made = json.loads(created[created.index("{") :])
    link_id, secret = made["shareLink"]["shareLinkId"], made["secret"]
    opened = await run("share-link", "open", secret, "--password", stdin=f"{PASSWORD}\n")
    session = opened.split()[-1]
    assert (await run("ls", "--json", credential=session)).count(media_id) == 1
    fields = [link_id, "ACTIVE", "VIEW", "1/3", target, "for Bob"]
    assert await run("share-link", "list") == "\t".join(fields) + "\n"
    fields[3] = "1/9"
    changed = await run("share-link", "change", link_id, "--max-uses", "9", "--expires", "60d")
    assert changed == "\t".join(fields) + "\n"
    fields[1] = "REVOKED"
    assert await run("share-link", "revoke", link_id) == "\t".join(fields) + "\n"
    assert await run("share-link", "list", "--target", target) == "\t".join(fields) + "\n"
    assert await run("ls", credential=session) == ""
    url = (await run("link", media_id)).strip()
    async with somebody(service) as anybody:
        assert (await anybody.read(token_of(url))).content == jpeg()
        assert await run("link", media_id, "--revoke") == ""
        assert (await refused(anybody.read(token_of(url)))).reason == "LINK_INVALID"
        url = (await run("link", media_id)).strip()
        of_ann = ("link", "--revoke", "--signer", "user:ann")
        assert "ROLE_REQUIRED" in (await result_of(*of_ann, credential=token("bob"))).stderr
        for wrong in (("link",), ("link", "--signer", "me"), ("link", media_id, "--signer", "me")):
            assert "--revoke" in (await result_of(*wrong)).stderr
        assert (await anybody.read(token_of(url))).content == jpeg()
        assert await run("link", "--revoke", "--signer", "me") == ""
        assert (await refused(anybody.read(token_of(url)))).reason == "LINK_INVALID"
