"""The commands for service accounts and API keys, against a real server."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mediaservice.v1 import credentials_service_pb2 as pb

from media_service.cli.main import cli
from media_service.ids import new_id
from media_service_client import AsyncClient
from tests.support.rpc.server import Caller, Running, token


@pytest.fixture
def run(service: Running, tmp_path: Path) -> "Run":
    return Run(service, tmp_path)


class Run:
    def __init__(self, service: Running, folder: Path) -> None:
        self._environ = {"MEDIA_ADDRESS": service.address, "MEDIA_DATA_DIR": str(folder)}

    async def __call__(self, *arguments: str, credential: str = "", fails: bool = False) -> Result:
        environ = {**self._environ, "MEDIA_TOKEN": credential or token("ann")}
        invoke = partial(CliRunner(env=environ).invoke, cli, arguments)
        result = await asyncio.to_thread(invoke)
        assert bool(result.exit_code) == fails, result.output
        return result


async def test_a_key_is_created_used_found_and_revoked(run: Run) -> None:
    account_id, name = (await run("service-account", "create", "robot")).stdout.strip().split("\t")
    assert name == "robot"
    options = ("--name", "server 3", "--scope", "media.read", "--expires", "30d")
    key = (await run("api-key", "create", account_id, *options)).stdout.strip()
    assert key.startswith("msk_")
    assert (await run("ls", credential=key)).stdout == ""
    refused = await run("rm", new_id(), credential=key, fails=True)
    assert "media.delete" in refused.stderr
    assert key not in refused.output
    prefix = key.split("_")[1]
    line = (await run("api-key", "list", "--prefix", prefix)).stdout.strip().split("\t")
    assert line[1:] == [prefix, "ACTIVE", account_id, "server 3"]
    listed = await run("api-key", "list", "--account", account_id, "--json")
    assert json.loads(listed.stdout)["apiKeyId"] == line[0]
    revoked = (await run("api-key", "revoke", line[0])).stdout.strip().split("\t")
    assert revoked == [line[0], prefix, "REVOKED", account_id, "server 3"]
    assert "was revoked" in (await run("ls", credential=key, fails=True)).stderr
    assert (await run("service-account", "list")).stdout == f"{account_id}\trobot\n"
    await run("service-account", "delete", account_id)
    assert (await run("service-account", "list")).stdout == ""


async def test_a_client_whose_key_was_lost_on_the_way_gets_another_one(
    service: Running, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(service.address, token=ann.token) as client:
        account = await client.create_service_account("robot")
        first = "01a1fd51-6cc9-4f66-a44a-c4f31feb7be2"
        request = pb.CreateApiKeyRequest(
            service_account_id=account.service_account_id, request_id=first
        )
        lost = await ann.call(ann.credentials.CreateApiKey, request)
        ids = iter([first, "01a1fd51-6cc9-4f66-a44a-c4f31feb7be3"])
        monkeypatch.setattr("uuid.uuid4", lambda: next(ids))
        created = await client.create_api_key(account.service_account_id)
        assert created.key.startswith("msk_")
        keys = [key async for key in client.api_keys()]
    assert {key.prefix: key.HasField("revoke_time") for key in keys} == {
        lost.api_key.prefix: True,
        created.api_key.prefix: False,
    }
