"""Who calls: the credential of a call, and the principal that it stands for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from media_service.access.access_tokens import TokenVerifier
from media_service.access.principal import Principal
from media_service.credentials.verifier import KeyVerifier
from media_service.errors import Reason, Unauthenticated
from media_service.rpc.caller import current_principal
from media_service.rpc.client_certificates import Certificate, ClientCertificates
from media_service.share_links.sessions import LinkSessions

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
# The text of a token or an API key, or a certificate.
Credential: TypeAlias = str | Certificate

# A stream of a caller whose API key was revoked ends within this time.
CHECK_SECONDS = 10.0


class Authenticator:
    """Verifies access tokens, API keys, sessions of share links, and client certificates."""

    def __init__(
        self,
        tokens: TokenVerifier,
        keys: KeyVerifier,
        links: LinkSessions,
        certificates: ClientCertificates,
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._links = links
        self._certificates = certificates

    def credential(self, context: Context) -> Credential | None:
        """What a call authenticates with. A token or an API key precedes a certificate. Raises
        Unauthenticated (TOKEN_INVALID) if that is not clear."""
        return credential_of(context) or self._certificates.of(context)

    def remembers(self, credential: Credential | None) -> bool:
        """Whether a credential was verified before. The TLS handshake verifies certificates."""
        if not isinstance(credential, str):
            return credential is not None
        return (
            self._tokens.remembers(credential)
            or self._keys.remembers(credential)
            or self._links.remembers(credential)
        )

    async def verify(self, credential: Credential | None) -> Principal:
        """Raises Unauthenticated (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED), and Unavailable
        (KEYS_UNAVAILABLE)."""
        if not credential:
            raise no_token()
        if isinstance(credential, Certificate):
            return await self._keys.account(credential.service_account_id)
        if self._keys.accepts(credential):
            return await self._keys.verify(credential)
        if self._links.accepts(credential):
            return self._links.verify(credential)
        return await self._tokens.verify(credential)

    async def check(self, principal: Principal) -> None:
        """Raises Unauthenticated (TOKEN_INVALID) if a verified caller's API key or service account
        has ended since."""
        await self._keys.check(principal)

    def revocable(self, handler: Any) -> Handler:
        """Returns a handler of streams that raises Unauthenticated (TOKEN_INVALID) soon after the
        caller's API key or service account has ended."""

        async def call(request: Any, context: Context) -> Any:
            principal = current_principal.get(None)
            if principal is None or principal.type != "service_account":
                return await handler(request, context)
            ended: list[Unauthenticated] = []
            try:
                async with asyncio.timeout(None) as limit:
                    watch = asyncio.create_task(self._watch(principal, limit, ended))
                    try:
                        return await handler(request, context)
                    finally:
                        watch.cancel()
            except TimeoutError:
                if not ended:
                    raise
            raise ended[0]

        return call

    async def _watch(
        self, principal: Principal, limit: asyncio.Timeout, ended: list[Unauthenticated]
    ) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check(principal)
            except Unauthenticated as error:
                ended.append(error)
                limit.reschedule(asyncio.get_running_loop().time())
                return


def no_token() -> Unauthenticated:
    return Unauthenticated(
        Reason.TOKEN_MISSING,
        "The call has no access token and no API key. Send the header `authorization: Bearer"
        " TOKEN`.",
    )


def credential_of(context: Context) -> str:
    """The token or API key of a call; empty if there is none. Raises Unauthenticated
    (TOKEN_INVALID) if there are two."""
    sent = {
        bearer_token(value) if name == "authorization" else value.strip()
        for name, value in context.invocation_metadata() or ()
        if name in {"authorization", "x-api-key"} and isinstance(value, str)
    } - {""}
    if len(sent) > 1:
        raise Unauthenticated(
            Reason.TOKEN_INVALID,
            "The call has several tokens or API keys. Send one, in `authorization` or in"
            " `x-api-key`.",
        )
    return next(iter(sent), "")


def bearer_token(header: str) -> str:
    """The token in a header `authorization`; empty if it has another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
