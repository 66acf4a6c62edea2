"""Checks which files the service accepts, when an upload is created and when it finishes."""

import re
from dataclasses import dataclass, replace

from media_service.codecs.demuxers import AUDIO_TYPES
from media_service.codecs.detection import detect
from media_service.codecs.detection.beginnings import possible_types
from media_service.errors import FailedPrecondition, InvalidArgument, Reason
from media_service.media import content_type
from media_service.media.allowed_types import AllowedTypes
from media_service.media.model import Kind
from media_service.media.pixels import pixels
from media_service.media.policy import NO_POLICIES, Policies, at_most, check_pixels, check_size
from media_service.storage.checksums import Checksums
from media_service.uploads.model import NewUpload, Upload, UploadSpec

# Kinds that share containers: the first bytes do not tell them apart.
AV = {Kind.VIDEO, Kind.AUDIO}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The limits of the service or, narrowed by `policies`, of an upload. `types` are patterns such
    as "image/*". With `strict`, a file must be of the type that was declared for it."""

    max_size: int
    max_pixels: int
    types: AllowedTypes
    strict: bool = False
    policies: Policies = NO_POLICIES

    def of(self, upload: NewUpload | Upload) -> "Acceptance":
        """The limits of an upload."""
        policies = upload.policies
        if not policies.stated:
            return self
        return replace(
            self,
            max_size=at_most(self.max_size, policies.max_size),
            max_pixels=at_most(self.max_pixels, policies.max_pixels),
            types=self.types.narrowed(policies.allowed_types),
            policies=policies,
        )

    def check_spec(self, spec: UploadSpec) -> None:
        """Refuses a new upload that could never finish."""
        check_filename(spec.filename)
        check_type(spec.content_type)
        if spec.size_bytes is not None:
            self.check_size(spec.size_bytes)
            if spec.max_size_bytes is not None and spec.size_bytes > spec.max_size_bytes:
                raise size_exceeded(max_size_bytes=spec.max_size_bytes)
        if declared := content_type.declared(spec.content_type):
            self.types.choose(declared)
        self.policies.check_visibility(spec.attributes.visibility)
        if not spec.replaces:
            self.policies.check_metadata(spec.attributes.metadata)

    def check_size(self, size: int) -> None:
        check_size(size, self.max_size)

    def check_content(self, head: bytes, declared: str) -> tuple[str, Kind]:
        """Returns the content type and kind of a file whose first bytes are `head`. Inspection may
        change them: the first bytes do not tell whether an MP4 has a video track.
        Raises InvalidArgument (TYPE_MISMATCH, TYPE_NOT_ALLOWED, PIXEL_LIMIT_EXCEEDED).
        """
        found = self._accepted(detect(head), declared)
        kind = content_type.kind_of(found)
        if kind is Kind.IMAGE:
            check_pixels(pixels(head, found), self.max_pixels)
        return found, kind

    def check_beginning(self, beginning: bytes, declared: str) -> bool:
        """Checks a file of which only the beginning has arrived. Returns whether it is known to be
        of an accepted type. Raises InvalidArgument (TYPE_MISMATCH, TYPE_NOT_ALLOWED) if
        `check_content` will refuse its type, whatever follows."""
        refusals = []
        for possible in possible_types(beginning):
            try:
                self._accepted(possible, declared)
            except InvalidArgument as error:
                refusals.append(error)
            else:
                return True
        if refusals:
            raise refusals[0]
        return False

    def check_end(self, spec: UploadSpec, end: int) -> None:
        """Checks that an upload may have `end` bytes. Raises InvalidArgument (SIZE_EXCEEDED,
        FILE_TOO_LARGE)."""
        if spec.size_limit is not None and end > spec.size_limit:
            raise over_limit(spec)
        self.check_size(end)

    def _accepted(self, found: str, declared: str) -> str:
        """Returns the type of a file that was detected as `found`. Raises InvalidArgument
        (TYPE_MISMATCH, TYPE_NOT_ALLOWED)."""
        named = content_type.declared(declared)
        if named and not self._agree(named, found):
            raise InvalidArgument(
                Reason.TYPE_MISMATCH,
                f"The file was declared as {declared}, but its bytes are {found}.",
                declared_type=declared,
                detected_type=found,
            )
        if named.startswith("audio/"):
            found = AUDIO_TYPES.get(found, found)
        return self.types.choose(found)

    def _agree(self, declared: str, found: str) -> bool:
        """Whether the declared type agrees with the detected one. It is a hint: browsers derive it
        from the extension."""
        if found in {declared, content_type.in_same_container(declared)}:
            return True
        kinds = {content_type.kind_of(declared), content_type.kind_of(found)}
        return not self.strict and (len(kinds) == 1 or kinds == AV)


def size_exceeded(
    *, size_bytes: int | None = None, max_size_bytes: int | None = None
) -> InvalidArgument:
    """The error for an upload with more bytes than the given field allows."""
    field = "max_size_bytes" if size_bytes is None else "size_bytes"
    return InvalidArgument(
        Reason.SIZE_EXCEEDED,
        f"The upload has more bytes than its {field}, {max_size_bytes or size_bytes}, allows.",
        size_bytes="" if size_bytes is None else size_bytes,
        max_size_bytes="" if max_size_bytes is None else max_size_bytes,
    )


def over_limit(spec: UploadSpec) -> InvalidArgument:
    """The error for an upload with more bytes than `spec.size_limit`."""
    if spec.size_bytes is None:
        return size_exceeded(max_size_bytes=spec.max_size_bytes)
    return size_exceeded(size_bytes=spec.size_bytes)


def check_filename(name: str) -> None:
    """Checks the name offered for downloads. It has no path and no control characters, which a
    terminal or an HTTP header could misinterpret."""
    why = ""
    if not encodable(name):
        why = "must be UTF-8"
    elif (size := len(name.encode())) > 255:
        why = f"must have at most 255 bytes, but has {size}"
    elif re.search(r"[/\\\x00-\x1f\x7f]", name):
        why = "must not contain / or \\ or control characters"
    if why:
        raise InvalidArgument(
            Reason.INVALID_FIELD, f"The filename {why}.", fields=(("filename", why),)
        )


def encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_type(name: str) -> None:
    """Checks a declared media type, which may have parameters. An empty name is valid."""
    pattern = r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+(\s*;[ -~]*)?"
    if name and (len(name) > 127 or not re.fullmatch(pattern, name, re.ASCII)):
        why = "must be a media type such as image/jpeg"
        raise InvalidArgument(
            Reason.INVALID_FIELD, f"The content type {why}.", fields=(("content_type", why),)
        )


def check_complete(spec: UploadSpec, committed_size: int) -> None:
    """Raises FailedPrecondition (UPLOAD_INCOMPLETE) if bytes are missing. The caller can still
    send them."""
    if spec.size_bytes is not None and committed_size != spec.size_bytes:
        raise FailedPrecondition(
            Reason.UPLOAD_INCOMPLETE,
            f"{committed_size} of {spec.size_bytes} bytes are stored. Send the rest.",
            committed_size_bytes=committed_size,
            size_bytes=spec.size_bytes,
            missing_parts="",
        )


def check_not_empty(size: int) -> None:
    if size == 0:
        raise InvalidArgument(Reason.FILE_EMPTY, "The file has no bytes.")


def check_checksums(declared: Checksums, actual: Checksums) -> None:
    """Compares the checksums that both sides know. Raises InvalidArgument (CHECKSUM_MISMATCH)."""
    for name in ("crc32c", "sha256"):
        wanted, found = getattr(declared, name), getattr(actual, name)
        if wanted is not None and found is not None and wanted != found:
            raise InvalidArgument(
                Reason.CHECKSUM_MISMATCH,
                f"The {name} of the bytes is not the declared one. Upload them again.",
                checksum=name,
                declared=wanted.hex() if isinstance(wanted, bytes) else wanted,
                actual=found.hex() if isinstance(found, bytes) else found,
                offset=0,
            )


def merge(first: Checksums, second: Checksums) -> Checksums:
    """Combines the checksums declared at the start and at the end of an upload. Raises
    InvalidArgument (CHECKSUM_MISMATCH) if they contradict each other."""
    check_checksums(first, second)
    return Checksums(
        first.crc32c if second.crc32c is None else second.crc32c,
        first.sha256 if second.sha256 is None else second.sha256,
    )
