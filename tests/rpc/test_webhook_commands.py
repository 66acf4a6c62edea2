"""`media-service webhook`, against a real server."""

import asyncio
import json
from functools import partial
from pathlib import Path

from click.testing import CliRunner, Result

from media_service.cli.main import cli
from tests.support.rpc.server import Running, token

URL = "https://hooks.example.com/media"


async def test_a_webhook_is_created_changed_listed_rotated_and_deleted(
    service: Running, tmp_path: Path
) -> None:
    async def result_of(*arguments: str) -> Result:
        environ = {
            "MEDIA_ADDRESS": service.address,
            "MEDIA_DATA_DIR": str(tmp_path),
            "MEDIA_TOKEN": token("ann"),
        }
        return await asyncio.to_thread(partial(CliRunner(env=environ).invoke, cli, arguments))

    async def run(*arguments: str) -> str:
        result = await result_of("webhook", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    made = json.loads(await run("create", URL, "--type", "media.*", "--project", "a", "--json"))
    webhook_id = made["webhook"]["webhookId"]
    assert made["webhook"]["projectIds"] == ["a"]
    fields = [webhook_id, "ENABLED", "user:ann", "media.*", URL, ""]
    assert await run("list") == "\t".join(fields) + "\n"
    changed = await run("change", webhook_id, "--all-types", "--disable", "--description", "CDN")
    fields = [webhook_id, "DISABLED", "user:ann", "*", URL, "CDN"]
    assert changed == "\t".join(fields) + "\n"
    shown = await result_of("webhook", "show", webhook_id)
    assert (shown.stdout, "a caller has disabled it" in shown.stderr) == (changed, True)
    fields[1] = "ENABLED"
    assert await run("change", webhook_id, "--enable") == "\t".join(fields) + "\n"
    assert await run("redeliver", webhook_id, "--since", "1h") == "0\n"
    assert json.loads(await run("redeliver", webhook_id, "--since", "7d", "--json")) == {
        "redelivered": 0
    }
    assert await run("log", webhook_id) == ""
    secret = (await run("rotate", webhook_id, "--overlap", "1h")).strip()
    assert secret.startswith("whsec_")
    assert secret != made["secret"]
    await run("rotate", webhook_id, "--at-once")
    for wrong in (
        ("change", webhook_id),
        ("change", webhook_id, "--type", "media.*", "--all-types"),
        ("rotate", webhook_id, "--at-once", "--overlap", "1h"),
        ("redeliver", webhook_id),
        ("redeliver", webhook_id, "x", "--since", "1h"),
    ):
        assert (await result_of("webhook", *wrong)).exit_code == 2
    unknown = await result_of("webhook", "redeliver", webhook_id, webhook_id)
    assert (unknown.exit_code, "WEBHOOK_DELIVERY_NOT_FOUND" in unknown.stderr) == (1, True)
    assert await run("delete", webhook_id) == ""
    assert await run("list") == ""
