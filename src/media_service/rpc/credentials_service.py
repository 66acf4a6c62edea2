"""Servicer of CredentialsService: converts messages and calls the use cases."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from mediaservice.v1 import credentials_service_pb2, credentials_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.clock import now
from media_service.credentials.model import ApiKey, ServiceAccount
from media_service.credentials.service import CredentialsService
from media_service.nearest import nearest
from media_service.rpc import http
from media_service.rpc.caller import caller
from media_service.rpc.convert import optional_timestamp, time_from, timestamp
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.idempotency import request_key
from media_service.rpc.pagination import page, page_size

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

PAGE_KEY = [datetime, UUID]
CREATED = ("x-http-status", "201")


class CredentialsServicer(credentials_service_pb2_grpc.CredentialsServiceServicer):
    """`permissions`: those that methods require."""

    def __init__(
        self,
        credentials: CredentialsService,
        page_tokens: PageTokens,
        permissions: Collection[str],
    ) -> None:
        self._credentials = credentials
        self._page_tokens = page_tokens
        self._permissions = sorted(permissions)
        areas = {name.partition(".")[0] for name in permissions}
        self._scopes = {*permissions, *(f"{area}.*" for area in areas), "*"}

    async def CreateServiceAccount(  # noqa: N802
        self, request: credentials_service_pb2.CreateServiceAccountRequest, context: Context
    ) -> credentials_service_pb2.ServiceAccount:
        content = credentials_service_pb2.CreateServiceAccountRequest(
            display_name=request.display_name
        )
        headers = http.request_headers(context)
        key = request_key(headers, "CreateServiceAccount", request.request_id, content)
        account = await self._credentials.create_account(caller(), request.display_name, key)
        await context.send_initial_metadata((CREATED,))
        return account_to_message(account)

    async def ListServiceAccounts(  # noqa: N802
        self, request: credentials_service_pb2.ListServiceAccountsRequest, context: Context
    ) -> credentials_service_pb2.ListServiceAccountsResponse:
        query, size = ("service accounts", caller().owner), page_size(request.page_size)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        found = await self._credentials.accounts(caller(), after, size + 1)
        accounts, next_page_token = await page(
            found,
            size,
            account_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.service_account_id]),
        )
        return credentials_service_pb2.ListServiceAccountsResponse(
            service_accounts=accounts, next_page_token=next_page_token
        )

    async def DeleteServiceAccount(  # noqa: N802
        self, request: credentials_service_pb2.DeleteServiceAccountRequest, context: Context
    ) -> credentials_service_pb2.ServiceAccount:
        account_id = request.service_account_id.lower()
        return account_to_message(await self._credentials.delete_account(caller(), account_id))

    async def CreateApiKey(  # noqa: N802
        self, request: credentials_service_pb2.CreateApiKeyRequest, context: Context
    ) -> credentials_service_pb2.CreateApiKeyResponse:
        self._check_scopes(request.scopes)
        expire_time = time_from(request, "expire_time")
        if expire_time is not None and expire_time <= now():
            raise invalid_fields([("expire_time", "must be in the future")])
        content = credentials_service_pb2.CreateApiKeyRequest()
        content.CopyFrom(request)
        content.service_account_id = request.service_account_id.lower()
        content.ClearField("request_id")
        headers = http.request_headers(context)
        api_key, text = await self._credentials.create_key(
            caller(),
            content.service_account_id,
            request.display_name,
            list(request.scopes) or None,
            expire_time,
            request_key(headers, "CreateApiKey", request.request_id, content),
        )
        # No cache may keep the secret.
        await context.send_initial_metadata((CREATED, ("cache-control", "no-store")))
        return credentials_service_pb2.CreateApiKeyResponse(
            api_key=key_to_message(api_key), key=text
        )

    async def ListApiKeys(  # noqa: N802
        self, request: credentials_service_pb2.ListApiKeysRequest, context: Context
    ) -> credentials_service_pb2.ListApiKeysResponse:
        account_id, prefix = request.service_account_id.lower() or None, request.prefix or None
        query = ("API keys", caller().owner, account_id, prefix)
        size = page_size(request.page_size)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        found = await self._credentials.keys(caller(), account_id, prefix, after, size + 1)
        keys, next_page_token = await page(
            found,
            size,
            key_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.api_key_id]),
        )
        return credentials_service_pb2.ListApiKeysResponse(
            api_keys=keys, next_page_token=next_page_token
        )

    async def RevokeApiKey(  # noqa: N802
        self, request: credentials_service_pb2.RevokeApiKeyRequest, context: Context
    ) -> credentials_service_pb2.ApiKey:
        return key_to_message(await self._credentials.revoke(caller(), request.api_key_id.lower()))

    def _check_scopes(self, scopes: Collection[str]) -> None:
        """Raises InvalidArgument (INVALID_FIELD) for a permission that does not exist."""
        for at, scope in enumerate(scopes):
            if scope not in self._scopes:
                meant = nearest(scope, self._permissions)
                hint = f"did you mean {meant}?" if meant else ", ".join(self._permissions)
                raise invalid_fields([(f"scopes[{at}]", f"is not a permission; {hint}")])


def account_to_message(account: ServiceAccount) -> credentials_service_pb2.ServiceAccount:
    return credentials_service_pb2.ServiceAccount(
        service_account_id=account.service_account_id,
        organization_id=account.owner.org_id,
        display_name=account.display_name,
        create_time=timestamp(account.create_time),
        delete_time=optional_timestamp(account.delete_time),
    )


def key_to_message(key: ApiKey) -> credentials_service_pb2.ApiKey:
    return credentials_service_pb2.ApiKey(
        api_key_id=key.api_key_id,
        service_account_id=key.service_account_id,
        display_name=key.display_name,
        prefix=key.prefix,
        scopes=key.scopes or (),
        create_time=timestamp(key.create_time),
        expire_time=optional_timestamp(key.expire_time),
        revoke_time=optional_timestamp(key.revoke_time),
        last_use_time=optional_timestamp(key.last_use_time),
    )
