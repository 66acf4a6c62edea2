"""Policies: what an organization or a project accepts of uploads, and what it does with them.

Of a media in a project of an organization, both policies apply. Limits narrow each other: the media
must be within both. Of defaults, that of the project counts if it has one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from media_service.codecs.inspection import AudioInfo, ImageInfo, Info, VideoInfo
from media_service.errors import FailedPrecondition, InvalidArgument, Reason
from media_service.media.allowed_types import AllowedTypes
from media_service.media.metadata_schema import MetadataSchema
from media_service.media.model import Kind, Media, Visibility

N = TypeVar("N", int, float)


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The policy of one organization or project. None and empty: no limit, no default of its own.

    `allowed_types`: patterns such as "image/*". `max_duration`: in seconds. `retention_days`: after
    which media are deleted. `keep_deleted_days`: after which deleted ones are purged.
    `keep_versions`, `keep_versions_days`: how many earlier versions are kept, and for how long.
    `presets`: for a kind, the names of renditions and their pipelines, in place of those of the
    service. `metadata_schema`: a JSON schema; see `MetadataSchema`.
    """

    allowed_types: tuple[str, ...] = ()
    max_size: int | None = None
    max_pixels: int | None = None
    max_duration: float | None = None
    max_visibility: Visibility | None = None
    default_visibility: Visibility | None = None
    retention_days: int | None = None
    keep_deleted_days: int | None = None
    keep_versions: int | None = None
    keep_versions_days: int | None = None
    strip_metadata: bool = False
    presets: Mapping[Kind, Mapping[str, str]] = {}
    metadata_schema: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Policies:
    """The policies that apply together, that of the organization first."""

    stated: tuple[Policy, ...] = ()

    def to_json(self) -> Sequence[Mapping[str, Any]] | None:
        """What an upload keeps. Its metadata are checked when it is created, and their schemas may
        be large."""
        kept = (msgspec.structs.replace(each, metadata_schema={}) for each in self.stated)
        return [msgspec.to_builtins(each) for each in kept] or None

    @property
    def allowed_types(self) -> tuple[tuple[str, ...], ...]:
        """Lists of patterns, each of which must cover a type."""
        return tuple(each.allowed_types for each in self.stated if each.allowed_types)

    @property
    def max_size(self) -> int | None:
        return least(each.max_size for each in self.stated)

    @property
    def max_pixels(self) -> int | None:
        return least(each.max_pixels for each in self.stated)

    @property
    def max_duration(self) -> float | None:
        return least(each.max_duration for each in self.stated)

    @property
    def max_visibility(self) -> Visibility:
        most = Visibility.PUBLIC_ORIGINAL
        for each in self.stated:
            if each.max_visibility is not None and most.exceeds(each.max_visibility):
                most = each.max_visibility
        return most

    @property
    def default_visibility(self) -> Visibility:
        """At most `max_visibility`."""
        found = Visibility.PRIVATE
        for each in self.stated:
            found = each.default_visibility or found
        return self.max_visibility if found.exceeds(self.max_visibility) else found

    @property
    def strip_metadata(self) -> bool:
        """Whether originals lose their metadata before anybody can read them."""
        return any(each.strip_metadata for each in self.stated)

    @property
    def presets(self) -> Mapping[Kind, Mapping[str, str]]:
        """For the kinds whose presets are not those of the service."""
        return {kind: found for each in self.stated for kind, found in each.presets.items()}

    def check_visibility(self, wanted: Visibility) -> None:
        """Raises FailedPrecondition (VISIBILITY_NOT_ALLOWED)."""
        if wanted.exceeds(most := self.max_visibility):
            raise FailedPrecondition(
                Reason.VISIBILITY_NOT_ALLOWED,
                f"The policy of the project or the organization allows at most the visibility"
                f" {most}. Choose that one, or ask a manager to change the policy.",
                max_visibility=most,
            )

    @cached_property
    def _schemas(self) -> Sequence[MetadataSchema]:
        stated = (each.metadata_schema for each in self.stated)
        return [MetadataSchema(schema) for schema in stated if schema]

    def check_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Raises InvalidArgument (METADATA_NOT_ALLOWED)."""
        for schema in self._schemas:
            schema.check(metadata)

    @property
    def need_inspection(self) -> bool:
        """Whether they say something about what only inspection finds."""
        limits = (self.max_pixels, self.max_duration)
        stated = any(limit is not None for limit in limits)
        return stated or self.strip_metadata or bool(self.allowed_types)

    def check_moved(self, media: Media) -> None:
        """Checks a media that comes under these policies. Raises FailedPrecondition
        (METADATA_NOT_REMOVED), and the errors of `check_copied`."""
        self.check_copied(media)
        if self.strip_metadata and not (media.stripped or media.strip_pending):
            raise FailedPrecondition(
                Reason.METADATA_NOT_REMOVED,
                "The policy of the project or the organization removes the metadata of originals,"
                " and that of this one has not been removed. Upload the file to the project"
                " instead.",
                media_id=media.media_id,
            )

    def check_copied(self, media: Media) -> None:
        """Checks a media of which a copy comes under these policies. Raises InvalidArgument
        (FILE_TOO_LARGE, METADATA_NOT_ALLOWED, and the errors of `check_found`)."""
        self.check_metadata(media.metadata)
        if self.max_size is not None:
            check_size(media.size_bytes, self.max_size)
        self.check_type(media.content_type)
        if media.info is not None:
            self.check_found(media.content_type, media.info)

    def check_type(self, content_type: str) -> None:
        """Raises InvalidArgument (TYPE_NOT_ALLOWED)."""
        for patterns in self.allowed_types:
            AllowedTypes(patterns).check(content_type)

    def check_found(self, content_type: str, info: Info) -> None:
        """Checks what inspection found. Raises InvalidArgument (TYPE_NOT_ALLOWED,
        PIXEL_LIMIT_EXCEEDED, DURATION_LIMIT_EXCEEDED)."""
        self.check_type(content_type)
        if isinstance(info, ImageInfo | VideoInfo) and self.max_pixels is not None:
            check_pixels(info.width * info.height, self.max_pixels)
        if not isinstance(info, VideoInfo | AudioInfo) or self.max_duration is None:
            return
        if info.duration_seconds > self.max_duration:
            raise InvalidArgument(
                Reason.DURATION_LIMIT_EXCEEDED,
                f"The file plays for {info.duration_seconds:.1f} seconds; at most"
                f" {self.max_duration:g} are accepted.",
                max_duration_seconds=f"{self.max_duration:g}",
            )


NO_POLICIES = Policies()


def policies_from(stored: Sequence[Mapping[str, Any]] | None) -> Policies:
    """Reads what `Policies.to_json` wrote."""
    if not stored:
        return NO_POLICIES
    return Policies(tuple(msgspec.convert(each, Policy) for each in stored))


def check_pixels(found: int, most: int) -> None:
    """Raises InvalidArgument (PIXEL_LIMIT_EXCEEDED)."""
    if found > most:
        raise InvalidArgument(
            Reason.PIXEL_LIMIT_EXCEEDED,
            f"The image or frame has {found} pixels; at most {most} are accepted.",
        )


def check_size(found: int, most: int) -> None:
    """Raises InvalidArgument (FILE_TOO_LARGE)."""
    if found > most:
        raise too_large(found, most)


def too_large(size: int, most: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.FILE_TOO_LARGE,
        f"The file has {size} bytes or more; at most {most} are accepted.",
        max_size_bytes=most,
    )


def at_most(limit: int, other: int | None) -> int:
    return limit if other is None else min(limit, other)


def least(limits: Iterable[N | None]) -> N | None:
    return min((limit for limit in limits if limit is not None), default=None)
