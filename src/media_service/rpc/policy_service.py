"""Servicer of PolicyService: converts messages and calls the use cases."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import grpc
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.struct_pb2 import Struct
from mediaservice.v1 import media_pb2, policy_service_pb2, policy_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.errors import InvalidArgument, Reason
from media_service.media import metadata_schema
from media_service.media.content_type import normalize
from media_service.media.model import Kind, Visibility
from media_service.media.policy import Policy
from media_service.policies.blocklist import Blocklist
from media_service.policies.model import BlockedFile, FileHash
from media_service.policies.service import PolicyService, ResourcePolicy
from media_service.renditions.presets import Presets
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp
from media_service.rpc.duplicate_service import DEFAULT, MOST, similar_to_message
from media_service.rpc.pagination import page, page_size
from media_service.rpc.public_urls import PublicUrls

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Message = policy_service_pb2.Policy
Shown = media_pb2.Media.Visibility


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """`public_urls`: of public renditions and originals."""

    def __init__(
        self,
        policies: PolicyService,
        blocklist: Blocklist,
        page_tokens: PageTokens,
        public_urls: PublicUrls,
    ) -> None:
        self._policies = policies
        self._blocklist = blocklist
        self._page_tokens = page_tokens
        self._public_urls = public_urls

    async def GetPolicy(  # noqa: N802
        self, request: policy_service_pb2.GetPolicyRequest, context: Context
    ) -> policy_service_pb2.ResourcePolicy:
        return to_message(await self._policies.get(caller(), request.resource))

    async def SetPolicy(  # noqa: N802
        self, request: policy_service_pb2.SetPolicyRequest, context: Context
    ) -> policy_service_pb2.ResourcePolicy:
        policy = policy_from(request.policy)
        return to_message(await self._policies.put(caller(), request.resource, policy))

    async def BlockFile(  # noqa: N802
        self, request: policy_service_pb2.BlockFileRequest, context: Context
    ) -> policy_service_pb2.BlockedFile:
        blocked = request.media_id.lower() or hash_from(request)
        return blocked_to_message(
            await self._blocklist.block(caller(), request.resource, blocked, request.note)
        )

    async def UnblockFile(  # noqa: N802
        self, request: policy_service_pb2.UnblockFileRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._blocklist.unblock(caller(), request.resource, hash_from(request))
        return empty_pb2.Empty()

    async def ListBlockedFiles(  # noqa: N802
        self, request: policy_service_pb2.ListBlockedFilesRequest, context: Context
    ) -> policy_service_pb2.ListBlockedFilesResponse:
        query = ("blocked_files", caller().owner, request.resource)
        after = FileHash(False, b"")
        if request.page_token:
            perceptual, value = self._page_tokens.open(query, request.page_token, [bool, str])
            after = FileHash(perceptual, bytes.fromhex(value))
        size = page_size(request.page_size)
        found = await self._blocklist.page(caller(), request.resource, after, size + 1)
        blocked, token = await page(
            found,
            size,
            blocked_to_message,
            lambda last: self._page_tokens.seal(
                query, [last.hash.perceptual, last.hash.value.hex()]
            ),
        )
        return policy_service_pb2.ListBlockedFilesResponse(
            blocked_files=blocked, next_page_token=token
        )

    async def FindBlockedMedia(  # noqa: N802
        self, request: policy_service_pb2.FindBlockedMediaRequest, context: Context
    ) -> policy_service_pb2.FindBlockedMediaResponse:
        wanted = hash_from(request)
        query = ("blocked_media", caller().owner, request.resource, wanted)
        after = ""
        if request.page_token:
            (after,) = map(str, self._page_tokens.open(query, request.page_token, [UUID]))
        size = page_size(request.page_size, DEFAULT, MOST)
        found, until = await self._blocklist.media(
            caller(), request.resource, wanted, after, size + 1
        )
        media, token = await page(
            found,
            size,
            lambda one: similar_to_message(one, self._public_urls),
            lambda last: self._page_tokens.seal(query, [last.media.media_id]),
        )
        if not token and until:
            token = self._page_tokens.seal(query, [until])
        return policy_service_pb2.FindBlockedMediaResponse(media=media, next_page_token=token)


class OneOfHashes(Protocol):
    """A request with one of the two hashes."""

    @property
    def sha256(self) -> str: ...

    @property
    def perceptual_hash(self) -> str: ...


def hash_from(request: OneOfHashes) -> FileHash:
    text = request.perceptual_hash or request.sha256
    return FileHash(bool(request.perceptual_hash), bytes.fromhex(text))


def blocked_to_message(blocked: BlockedFile) -> policy_service_pb2.BlockedFile:
    found = blocked.hash
    return policy_service_pb2.BlockedFile(
        resource=blocked.resource,
        sha256="" if found.perceptual else found.value.hex(),
        perceptual_hash=found.value.hex() if found.perceptual else "",
        note=blocked.note,
        create_time=timestamp(blocked.create_time),
    )


def policy_from(message: Message) -> Policy:
    """Raises InvalidArgument (INVALID_FIELD, INVALID_OPERATIONS)."""
    return Policy(
        allowed_types=tuple(dict.fromkeys(map(normalize, message.allowed_types))),
        max_size=message.max_size_bytes if message.HasField("max_size_bytes") else None,
        max_pixels=message.max_pixels if message.HasField("max_pixels") else None,
        max_duration=(
            message.max_duration_seconds if message.HasField("max_duration_seconds") else None
        ),
        max_visibility=visibility_from(message.max_visibility),
        default_visibility=visibility_from(message.default_visibility),
        retention_days=message.retention_days if message.HasField("retention_days") else None,
        keep_deleted_days=message.keep_deleted_days
        if message.HasField("keep_deleted_days")
        else None,
        keep_versions=message.keep_versions if message.HasField("keep_versions") else None,
        keep_versions_days=message.keep_versions_days
        if message.HasField("keep_versions_days")
        else None,
        presets=presets_from(message.presets),
        strip_metadata=message.strip_metadata,
        metadata_schema=schema_from(message.metadata_schema),
    )


def schema_from(message: Struct) -> Mapping[str, Any]:
    """Raises InvalidArgument (INVALID_FIELD)."""
    # JSON is at most six times shorter than the message, in which a digit takes eleven bytes.
    if message.ByteSize() > 6 * metadata_schema.MAX_BYTES:
        raise metadata_schema.too_large()
    try:
        found = MessageToDict(message)
    except (SerializeToJsonError, ValueError):
        raise metadata_schema.invalid("contains a number that is not finite") from None
    if found:
        metadata_schema.MetadataSchema(found)
    return found


def visibility_from(value: "Shown.ValueType") -> Visibility | None:
    return Visibility(Shown.Name(value)) if value else None


def presets_from(
    messages: Iterable[policy_service_pb2.PolicyPreset],
) -> Mapping[Kind, Mapping[str, str]]:
    found: dict[Kind, dict[str, str]] = {}
    for index, message in enumerate(messages):
        kind = Kind(media_pb2.Media.Kind.Name(message.kind))
        of_kind = found.setdefault(kind, {})
        if message.name in of_kind:
            raise invalid(index, "name", f"must be unique among the presets of {kind}")
        try:
            Presets({kind: {message.name: message.ops}})
        except ValueError as error:
            raise invalid(index, "name", str(error)) from None
        of_kind[message.name] = message.ops
    return found


def invalid(index: int, field: str, why: str) -> InvalidArgument:
    path = f"policy.presets[{index}].{field}"
    return InvalidArgument(Reason.INVALID_FIELD, f"{path}: {why}.", ((path, why),))


def to_message(found: ResourcePolicy) -> policy_service_pb2.ResourcePolicy:
    return policy_service_pb2.ResourcePolicy(
        resource=str(found.resource),
        policy=policy_to_message(found.policy) if found.policy else None,
        inherited=policy_to_message(found.inherited) if found.inherited else None,
    )


def policy_to_message(policy: Policy) -> Message:
    message = Message(
        allowed_types=policy.allowed_types,
        max_size_bytes=policy.max_size,
        max_pixels=policy.max_pixels,
        max_duration_seconds=policy.max_duration,
        retention_days=policy.retention_days,
        keep_deleted_days=policy.keep_deleted_days,
        keep_versions=policy.keep_versions,
        keep_versions_days=policy.keep_versions_days,
        strip_metadata=policy.strip_metadata,
        presets=[
            policy_service_pb2.PolicyPreset(
                kind=media_pb2.Media.Kind.Value(kind), name=name, ops=ops
            )
            for kind, presets in policy.presets.items()
            for name, ops in presets.items()
        ],
    )
    if policy.max_visibility:
        message.max_visibility = Shown.Value(policy.max_visibility)
    message.metadata_schema.update(policy.metadata_schema)
    if policy.default_visibility:
        message.default_visibility = Shown.Value(policy.default_visibility)
    return message
