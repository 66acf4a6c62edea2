"""Calls of CredentialsService."""

from typing import Any

from mediaservice.v1 import credentials_service_pb2 as pb

from tests.support.rpc.server import Caller


async def account(caller: Caller, name: str = "import") -> str:
    request = pb.CreateServiceAccountRequest(display_name=name)
    created = await caller.call(caller.credentials.CreateServiceAccount, request)
    return str(created.service_account_id)


async def api_key(caller: Caller, account_id: str, **fields: Any) -> pb.CreateApiKeyResponse:
    request = pb.CreateApiKeyRequest(service_account_id=account_id, **fields)
    created: pb.CreateApiKeyResponse = await caller.call(caller.credentials.CreateApiKey, request)
    return created


async def delete_account(caller: Caller, account_id: str) -> None:
    request = pb.DeleteServiceAccountRequest(service_account_id=account_id)
    await caller.call(caller.credentials.DeleteServiceAccount, request)
