"""No secret is in a log, an error, or the output of a command: secrets are planted wherever one can
be, and looked for wherever something is printed."""

import logging
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from mediaservice.v1 import media_service_pb2

from media_service.cli.main import cli
from media_service.config import Config, ConfigError, load, variable
from media_service.credentials.key_text import new_key
from media_service.ids import new_id
from media_service.scanning.engines import open_engine
from tests.support.media.small_files import jpeg
from tests.support.rpc.front import Open
from tests.support.rpc.server import SECRET, refused, token
from tests.support.rpc.tables import tables_with

PASSWORD = "password0canary0password"
CANARY = "canary0canary0canary0canary0canary0"
URLS = (
    f"x://me:{CANARY}@host/a",
    f"https://me:{CANARY}/{CANARY}@host/a?b",
    f"redis://{CANARY}@h:x",
)


@pytest.mark.parametrize("name", [field.name for field in fields(Config)])
def test_an_error_about_a_setting_does_not_repeat_a_password(name: str) -> None:
    for value in (*URLS, f'[{{"secret": "{CANARY}"}}]', f'{{"a": "https://me:{CANARY}@host"}}'):
        try:
            load({variable(name): value})
        except ConfigError as error:
            assert CANARY not in str(error)  # noqa: PT017


def test_a_scan_engine_with_a_password_is_refused() -> None:
    """clamd has none, and messages name its address."""
    for url in (
        f"clamd://me:{CANARY}@host:3310",
        f"clamd://:{CANARY}@host",
        f"clamd://{CANARY}@h:x",
    ):
        with pytest.raises(ValueError, match="a URL such as clamd://") as caught:
            open_engine(url)
        assert CANARY not in str(caught.value)


def test_the_list_of_settings_has_no_password(tmp_path: Path) -> None:
    secrets = {
        "MEDIA_DATABASE_URL": f"postgresql://me:{CANARY}@host/media",
        "MEDIA_JWT_SECRET": CANARY,
        "MEDIA_LINK_KEYS": f"{CANARY},{CANARY}2",
        "MEDIA_WEBHOOK_KEYS": f"{CANARY},{CANARY}3",
        "MEDIA_RATE_STORE": f"redis://me:{CANARY}@host",
        "MEDIA_STORAGE_RAW_URL": f"s3://me:{CANARY}@bucket/a",
        "MEDIA_STORAGE_PUBLIC_URL": f"s3://me:{CANARY}/x@bucket/b",
        "MEDIA_SCAN_ADDRESS": f"clamd://me:{CANARY}@host:3310",
        "MEDIA_TOKEN": CANARY,
    }
    environ = {"MEDIA_DATA_DIR": str(tmp_path), "COLUMNS": "300", **secrets}
    for arguments in (["config"], ["config", "--json"], ["envoy-config"]):
        result = CliRunner(env=environ).invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        assert CANARY not in result.output, arguments
    for name in secrets:
        wrong = {**environ, "MEDIA_GRPC_PORT": "x", f"{name}S": CANARY}
        result = CliRunner(env=wrong).invoke(cli, ["config"])
        assert result.exit_code == 2
        assert CANARY not in result.output


async def test_no_credential_of_a_call_is_in_logs_and_errors(
    front: Open, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    separator = "&" if "?" in database_url else "?"
    settings = {
        "database_url": f"{database_url}{separator}password={CANARY}",
        "link_keys": CANARY,
        "rate_store": f"redis://me:{CANARY}@127.0.0.1:1",
    }
    forged = token("ann").rpartition(".")[0] + f".{CANARY}"
    unknown = new_key().text
    secrets = {CANARY, SECRET, SECRET[5:], forged, unknown, unknown[17:]}
    shown: list[str] = []

    def note(answer: httpx.Response) -> dict[str, object]:
        shown.append(f"{answer.headers} {answer.content!r}")
        return dict(answer.json()) if "json" in answer.headers.get("content-type", "") else {}

    async with front(**settings) as to, to.client("ann") as ann, to.client() as http:
        robot = note(await ann.post("/v1/serviceAccounts", json={"displayName": "robot"}))
        keys = f"/v1/serviceAccounts/{robot['serviceAccountId']}/apiKeys"
        created = (await ann.post(keys, json={})).json()
        key = str(created["key"])
        secrets |= {key, key[17:]}
        media = note(await ann.post("/v1/media:upload?filename=a.jpg", content=jpeg()))
        path = f"/v1/media/{media['mediaId']}"
        link = (await ann.post(f"{path}:signUrl", json={})).json()["url"]
        secrets.add(max(urlsplit(link).path.split("/"), key=len).rpartition(".")[2])
        note(await http.get(urlsplit(link).path))
        wanted = {"targets": [f"media:{media['mediaId']}"], "mode": "VIEW", "password": PASSWORD}
        share = (await ann.post("/v1/shareLinks", json=wanted)).json()
        secret, link_id = str(share["secret"]), share["shareLink"]["shareLinkId"]
        opening = {"secret": secret, "password": PASSWORD}
        session = (await http.post("/v1/shareLinks:open", json=opening)).json()["sessionToken"]
        secrets |= {secret, secret[4:], PASSWORD, session, session.rpartition(".")[2]}
        for body in (
            {"secret": f"{secret}x"},
            {"secret": secret},
            {**opening, "password": f"{PASSWORD}x"},
            {**opening, "sessionToken": f"{session}x"},
            {**opening, "unknown": PASSWORD},
            {"secret": secret * 9},
        ):
            note(await http.post("/v1/shareLinks:open", json=body))
        note(await ann.get(f"/v1/shareLinks/{link_id}"))
        note(await ann.post("/v1/shareLinks", json={**wanted, "password": PASSWORD * 9}))
        # A guest, a signed part of an upload, and a ticket.
        project = note(await ann.post("/v1/projects", json={"displayName": "a"}))["projectId"]
        wanted = {"targets": [f"project:{project}"], "mode": "UPLOAD"}
        invitation = (await ann.post("/v1/shareLinks", json=wanted)).json()["secret"]
        opening_as_guest = {"secret": invitation}
        opened = (await http.post("/v1/shareLinks:open", json=opening_as_guest)).json()
        guest = opened["sessionToken"]
        spec = {"projectId": project, "filename": "b.jpg"}
        bearer = {"authorization": f"Bearer {guest}"}
        note(await http.post("/v1/uploads", json=spec, headers=bearer))
        upload = note(await ann.post("/v1/uploads", json={"sizeBytes": 1}))["uploadId"]
        parts = {"parts": [{"partNumber": 1, "sizeBytes": 1}]}
        signed = (await ann.post(f"/v1/uploads/{upload}:sign", json=parts)).json()["parts"][0]
        put = urlsplit(signed["url"]).path
        ticket = (await ann.post("/v1/watchTickets", json={"uploadId": upload})).json()["ticket"]
        secrets |= {invitation, invitation[4:], guest, guest.rpartition(".")[2], ticket}
        secrets.add(max(put.split("/"), key=len).rpartition(".")[2])
        note(await http.put(put, content=b"more"))
        assert (await http.put(put, content=b"a")).is_success
        watch = f"/v1/uploads/{upload}:watch?ticket={ticket}"
        async with http.stream("GET", watch) as answer:
            shown.append(f"{answer.headers} {await anext(answer.aiter_lines())}")
        assert note(await http.get(watch))["code"] == 16
        for credential in (
            *(CANARY, forged, unknown, f"{unknown}x", key, f"a.{CANARY}.b"),
            *(session, f"{session}x", secret, guest, f"{guest}x", invitation, ticket),
        ):
            for headers in (
                {"authorization": f"Bearer {credential}"},
                {"authorization": f"Basic {credential}"},
                {"x-api-key": credential},
                {"authorization": f"Bearer {credential}", "x-api-key": CANARY},
                {"cookie": f"token={credential}"},
                {"x-forwarded-client-cert": f"URI=spiffe://{credential}"},
            ):
                note(await http.get(path, headers=headers))
            note(await http.get(f"{path}?access_token={credential}"))
            note(await http.get(f"/v1/uploads/{new_id()}:watch?ticket={credential}"))
            note(await ann.get(f"/v1/media?pageToken={credential}"))
        for credential in (CANARY, forged, unknown):
            caller = await to.service.bearer(credential)
            call = caller.call(caller.media.ListMedia, media_service_pb2.ListMediaRequest())
            shown.append(str(await refused(call)))
        note(await ann.post(f"/v1/shareLinks/{link_id}:revoke", json={}))
        note(await http.post("/v1/shareLinks:open", json=opening))
        note(await ann.post(f"/v1/apiKeys/{created['apiKey']['apiKeyId']}:revoke", json={}))
        note(await http.get("/v1/media", headers={"x-api-key": key}))
        note(await ann.get("/v1/apiKeys"))
        # Except the logs of this test's own client, which has the URLs that it calls.
        logged = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
        printed = [*logged, *to.log.read_text().splitlines(), *shown]
        assert await tables_with(to.service, *secrets) == set()
    assert len(logged) > 20
    assert not [line for line in printed if any(secret in line for secret in secrets)]
