"""The gate that every call passes: authentication, rate limits, scope, field rules, the access
guard, audit, and error translation. It follows the contract's descriptors, so no method is
special."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from media_service.access.policy import Guard, current_guard
from media_service.access.principal import LINK, Principal
from media_service.errors import MediaError, PermissionDenied, Reason
from media_service.rates.limiter import RateLimiter
from media_service.rpc import http, wire
from media_service.rpc.audit_record import Audit, Record
from media_service.rpc.authentication import Authenticator, Credential, no_token
from media_service.rpc.caller import caller, charged, current_principal
from media_service.rpc.client_addresses import ClientAddresses, current_address, network_of
from media_service.rpc.convert import from_share_link
from media_service.rpc.decoding import Undecodable, decoding
from media_service.rpc.error_status import abort, known
from media_service.rpc.field_validation import FieldValidator
from media_service.rpc.method_rules import MethodRule
from media_service.rpc.request_reader import RequestReader, check_metadata
from media_service.rpc.response_stream import ResponseStreams
from media_service.rpc.running_calls import RunningCalls
from media_service.rpc.server_sent_events import current_key, key_of, unless_ended
from media_service.share_links.errors import as_visitors_see
from media_service.watches.tickets import EVENTS, Watched, WatchTickets

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# What a token costs the client's address if it was not used before, or there is none.
NEW_TOKEN_COST = 1


class Gate:
    """Wraps each handler of the servicers that are registered through it."""

    def __init__(
        self,
        server: grpc.aio.Server,
        rules: Mapping[str, MethodRule],
        authenticator: Authenticator,
        rates: RateLimiter,
        tickets: WatchTickets,
        calls: RunningCalls,
        audit: Audit,
        addresses: ClientAddresses,
        stream_timeout: timedelta,
    ) -> None:
        self._server = server
        self._audit = audit
        self._addresses = addresses
        self._calls = calls
        self._rules = rules
        self._authenticator = authenticator
        self._rates = rates
        self._tickets = tickets
        self._validator = FieldValidator()
        self._requests = RequestReader()
        self._responses = ResponseStreams(stream_timeout)

    # Generated code calls these methods to register a servicer. Interceptors would cost more: gRPC
    # runs them for every call.

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Ignored: generated code registers the same handlers by name right after."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
    ) -> None:
        """Raises KeyError for a method that has no rule."""
        wrapped = {
            name: self._wrap(handler, self._rules[f"/{service}/{name}"])
            for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, wrapped)

    def _wrap(
        self, handler: "grpc.RpcMethodHandler[Any, Any]", rule: MethodRule
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        serializer = wire.unless_serialized(handler.response_serializer)
        # gRPC calls handlers of single requests once it has read the request. These are registered
        # as handlers of streams, so that the gate comes before it.
        if handler.request_streaming:
            behavior = closing(self._authenticator.revocable(handler.stream_unary))
            call = self._guarded(behavior, rule, stream, self._check_stream)
            return grpc.stream_unary_rpc_method_handler(
                self._calls.tracked(call),
                decoding(wire.deserializer(rule.request), rule.request),
                serializer,
            )
        deserializer = decoding(rule.request.FromString, rule.request)
        if handler.response_streaming:
            bounded = self._responses.bounded(self._authenticator.revocable(handler.unary_stream))
            call = self._guarded(bounded, rule, self._receive, self._check)
            call = self._responses.paced(call)
            if rule.ticket:
                call = unless_ended(call)
            call = self._calls.tracked(call, streams=True)
            return grpc.stream_stream_rpc_method_handler(call, deserializer, serializer)
        call = self._guarded(handler.unary_unary, rule, self._receive, self._check)
        call = self._calls.tracked(call)
        return grpc.stream_unary_rpc_method_handler(call, deserializer, serializer)

    def _guarded(
        self,
        behavior: Any,
        rule: MethodRule,
        receive: Callable[[Context], Awaitable[Any]],
        check: Callable[[Any, Record], Awaitable[Any]],
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(_: Any, context: Context) -> Any:
            current_address.set(self._addresses.of(context))
            record = self._audit.begin(rule, context)
            try:
                await self._audit.until_writable()
                check_metadata(context)
                credential = self._authenticator.credential(context) if rule.permission else None
                by_ticket = rule.ticket and not credential
                if rule.permission and not by_ticket:
                    await self._admit(await self._verify(credential), rule, record)
                else:
                    await self._charge_address(rule.cost)
                request = await receive(context)
                if by_ticket:
                    principal = await self._redeem(request, rule, context)
                    await self._admit(principal, rule, record)
                guard = Guard(rule.minimum_role)
                current_guard.set(guard)
                checked = await check(request, record)
                if rule.cost_per:
                    await self._charge_elements(checked, rule)
                response = await behavior(checked, context)
                record.note(response)
                if rule.permission and not guard.decided:
                    raise RuntimeError("access was not decided in this call")
                return response
            except asyncio.CancelledError:
                record.outcome = "CANCELLED"
                raise
            except grpc.aio.AbortError:  # the response was cut, see `http.cut`
                record.outcome = "CUT"
                raise
            except Exception as error:
                shown = known(error)
                record.fail(shown)
                shown = as_callers_see(shown, rule, context)
                try:
                    await abort(context, shown)
                finally:
                    del shown  # a cycle with its traceback would keep the call
            finally:
                record.write()

        return call

    async def _verify(self, credential: Credential | None) -> Principal:
        if not self._authenticator.remembers(credential):
            await self._charge_address(NEW_TOKEN_COST)
        return await self._authenticator.verify(credential)

    async def _charge_address(self, cost: int) -> None:
        await self._rates.charge(self._rates.address, network_of(current_address.get()), cost)

    async def _admit(self, principal: Principal, rule: MethodRule, record: Record) -> None:
        current_principal.set(principal)
        record.admit(principal)
        await self._charge_caller(rule.cost)
        check_scope(principal, rule)
        check_link(principal, rule)

    async def _charge_caller(self, cost: int) -> None:
        await self._rates.charge(self._rates.caller, caller().charged_name, cost)

    async def _charge_elements(self, request: Any, rule: MethodRule) -> None:
        """Charges for all elements of a batch; the first one was charged before it was read."""
        more = len(getattr(request, rule.cost_per)) - 1
        await self._charge_caller(rule.cost * max(more, 0))

    async def _redeem(self, request: Any, rule: MethodRule, context: Context) -> Principal:
        if isinstance(request, Undecodable) or not request.ticket:
            raise no_token()
        watched = (
            Watched(rule.resource, getattr(request, rule.resource)) if rule.resource else EVENTS
        )
        opened = await self._tickets.redeem(request.ticket, watched, key_of(context))
        await self._authenticator.check(opened.principal)
        current_key.set(opened.key)
        return opened.principal

    async def _receive(self, context: Context) -> Message | Undecodable:
        message: Message | Undecodable = await self._requests.read(context, charged())
        return message

    async def _check(self, message: Message | Undecodable, record: Record) -> Message:
        if isinstance(message, Undecodable):
            raise message.error
        await self._validator.check_in_turns(message)
        record.note(message)
        return message

    async def _check_stream(
        self, pieces: AsyncIterator[wire.Piece | Undecodable], record: Record
    ) -> AsyncGenerator[wire.Piece, None]:
        return self._check_first(pieces, record)

    async def _check_first(
        self, pieces: AsyncIterator[wire.Piece | Undecodable], record: Record
    ) -> AsyncGenerator[wire.Piece, None]:
        """Checks the first message of a stream. Later messages carry only content."""
        first = True
        async for piece in pieces:
            if isinstance(piece, Undecodable):
                raise piece.error
            if first:
                await self._check(piece.message, record)
                first = False
            yield piece
            del piece  # otherwise each idle stream would hold its last message


async def stream(context: Context) -> AsyncGenerator[wire.Piece, None]:
    """The messages of a stream."""
    return messages(context)


async def messages(context: Context) -> AsyncGenerator[wire.Piece, None]:
    """Reads messages one by one and keeps none. gRPC's own iterator keeps each message until the
    next one arrives."""
    while (message := await context.read()) is not grpc.aio.EOF:
        yield message
        del message


def as_callers_see(error: MediaError, rule: MethodRule, context: Context) -> MediaError:
    """An error in the names of REST, and without what visitors of a share link may not know."""
    if from_share_link():
        error = as_visitors_see(error)
    return rule.rest.in_error(error) if http.is_rest(context) else error


def check_scope(principal: Principal, rule: MethodRule) -> None:
    if not principal.holds(rule.permission):
        raise PermissionDenied(
            Reason.SCOPE_MISSING,
            f"The token's scope does not include {rule.permission}.",
            permission=rule.permission,
        )


def check_link(principal: Principal, rule: MethodRule) -> None:
    if principal.type == LINK and principal.link_mode not in rule.links:
        raise PermissionDenied(
            Reason.SHARE_LINK_METHOD_NOT_ALLOWED,
            f"A share link with the mode {principal.link_mode} does not allow this call.",
            mode=principal.link_mode,
        )


def closing(behavior: Any) -> Callable[[AsyncGenerator[wire.Piece, None], Context], Awaitable[Any]]:
    """Returns a handler that always closes its messages at the end."""

    async def call(pieces: AsyncGenerator[wire.Piece, None], context: Context) -> Any:
        async with aclosing(pieces):
            return await behavior(pieces, context)

    return call
