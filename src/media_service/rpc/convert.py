"""Converts between records and messages."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message
from google.type import latlng_pb2
from mediaservice.v1 import checksums_pb2, media_pb2, rule_pb2, upload_pb2, upload_service_pb2

from media_service.access.owner import Owner
from media_service.access.principal import LINK
from media_service.access.role import Role
from media_service.codecs.inspection import (
    AudioInfo,
    DocumentInfo,
    ImageInfo,
    Info,
    PrivateInfo,
    VideoInfo,
    to_json,
)
from media_service.downloads.read_links import ReadUrls
from media_service.media.filenames import clean
from media_service.media.metadata import MAX_BYTES as MAX_METADATA_BYTES
from media_service.media.metadata import check_limits, not_allowed, too_large
from media_service.media.model import Attributes, Media, Rendition, Scan, Visibility
from media_service.rpc.caller import current_principal
from media_service.rpc.error_status import fault_status
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.public_urls import PublicUrls
from media_service.storage.checksums import Checksums
from media_service.uploads.model import Part, Upload, UploadResult, UploadSpec, UploadState
from media_service.uploads.parts.check import ListedPart
from media_service.uploads.parts.service import SignedPart


def timestamp(time: datetime) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=int(time.timestamp()), nanos=time.microsecond * 1000)


def optional_timestamp(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    return timestamp(time) if time else None


def time_from(message: Message, field: str) -> datetime | None:
    """A field of type Timestamp; None if it is not set. Raises InvalidArgument (INVALID_FIELD)."""
    if not message.HasField(field):
        return None
    try:
        time: datetime = getattr(message, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_fields([(field, "must be a time from year 1 to 9999")]) from None
    return time


def metadata_from(message: struct_pb2.Struct, path: str = "metadata") -> dict[str, Any]:
    """Raises InvalidArgument (METADATA_NOT_ALLOWED)."""
    # JSON is at most six times shorter than the message, in which a digit takes eleven bytes.
    if message.ByteSize() > 6 * MAX_METADATA_BYTES:
        raise too_large(path)
    try:
        found: dict[str, Any] = MessageToDict(message)
    except (SerializeToJsonError, ValueError):
        raise not_allowed(path, "contains a number that is not finite") from None
    check_limits(found, path)
    return found


def checksums_to_message(checksums: Checksums) -> checksums_pb2.Checksums | None:
    """None if none is known."""
    if checksums.crc32c is None and checksums.sha256 is None:
        return None
    return checksums_pb2.Checksums(crc32c=checksums.crc32c, sha256=checksums.sha256 or b"")


def checksums_from(message: checksums_pb2.Checksums) -> Checksums:
    crc32c = message.crc32c if message.HasField("crc32c") else None
    return Checksums(crc32c, message.sha256 or None)


def media_to_message(
    media: Media,
    public_urls: PublicUrls,
    *,
    full: bool = False,
    read_urls: ReadUrls | None = None,
) -> media_pb2.Media:
    """`full`: with EXIF tags and locations. `read_urls`: URLs that read it without a token."""
    message = media_pb2.Media(
        media_id=media.media_id,
        owner=shown_owner(media.owner),
        project_id=media.project_id,
        state=media_pb2.Media.State.Value(media.state),
        kind=media_pb2.Media.Kind.Value(media.kind),
        content_type=media.content_type,
        initial_content_type=media.changed_from,
        size_bytes=media.size_bytes,
        checksums=checksums_to_message(media.blob.checksums),
        version=media.version,
        latest_version=media.latest_version,
        filename=media.filename,
        original_filename=media.original_filename,
        title=media.title,
        description=media.description,
        tags=media.tags,
        labels=media.labels,
        visibility=media_pb2.Media.Visibility.Value(media.visibility),
        capture_time=optional_timestamp(media.capture_time),
        expire_time=optional_timestamp(media.expire_time),
        rating=media.rating,
        blurhash=media.blurhash,
        dominant_color=media.dominant_color,
        scan=scan_to_message(media.scan),
        etag=media.etag,
        create_time=timestamp(media.create_time),
        update_time=timestamp(media.update_time),
        ready_time=optional_timestamp(media.ready_time),
        delete_time=optional_timestamp(media.delete_time),
        purge_time=optional_timestamp(media.purge_time),
        view_count=media.view_count,
        download_count=media.download_count,
        public_url=public_urls.of_original(media),
        renditions=[rendition_to_message(media, r, public_urls) for r in media.renditions],
    )
    if media.metadata:
        message.metadata.update(media.metadata)
    if media.fault:
        message.error.CopyFrom(fault_status(media.fault))
    if read_urls:
        message.read_url = read_urls.original
        message.read_url_expire_time.CopyFrom(timestamp(read_urls.expire_time))
        for rendition in message.renditions:
            rendition.read_url = read_urls.renditions[rendition.name]
    if media.info is not None:
        set_info(message, media.info, media.private_info if full else PrivateInfo())
    return message


def version_to_message(version: Media, public_urls: PublicUrls) -> media_pb2.MediaVersion:
    """`version`: a media as this version shows it."""
    first = version.version == 1
    message = media_pb2.MediaVersion(
        media_id=version.media_id,
        version=version.version,
        content_type=version.content_type,
        size_bytes=version.blob.size_bytes,
        checksums=checksums_to_message(version.blob.checksums),
        original_filename=version.original_filename if first else version.version_filename,
        scan=scan_to_message(version.scan),
        create_time=timestamp(version.content_time),
        state=media_pb2.Media.State.Value(version.state),
        current=version.current,
        restored_from=version.restored_from,
        renditions=[rendition_to_message(version, r, public_urls) for r in version.renditions],
    )
    if version.fault:
        message.error.CopyFrom(fault_status(version.fault))
    if version.info is not None:
        set_info(message, version.info, PrivateInfo())
    return message


def scan_to_message(scan: Scan) -> media_pb2.Scan:
    return media_pb2.Scan(
        state=media_pb2.Scan.State.Value(scan.state),
        reason=scan.reason,
        threat=scan.threat,
        engine=scan.engine,
        time=optional_timestamp(scan.time),
    )


def visibility_from(value: media_pb2.Media.Visibility.ValueType) -> Visibility:
    """PRIVATE, the default, if it is not set."""
    if value == media_pb2.Media.VISIBILITY_UNSPECIFIED:
        return Visibility.PRIVATE
    return Visibility(media_pb2.Media.Visibility.Name(value))


def shown_owner(owner: Owner) -> media_pb2.Owner | None:
    """None for the session of a share link: strangers do not learn who owns a media."""
    return None if from_share_link() else owner_to_message(owner)


def from_share_link() -> bool:
    """Whether the session of a share link makes the current call."""
    principal = current_principal.get(None)
    return principal is not None and principal.type == LINK


def owner_to_message(owner: Owner) -> media_pb2.Owner:
    return media_pb2.Owner(type=owner.type, id=owner.id, organization_id=owner.org_id)


def owner_from(message: media_pb2.Owner) -> Owner:
    return Owner(message.type, message.id, message.organization_id)


def role_to_message(role: Role) -> "rule_pb2.Rule.Role.ValueType":
    return rule_pb2.Rule.Role.ValueType(role)


def rendition_to_message(
    media: Media, rendition: Rendition, public_urls: PublicUrls
) -> media_pb2.Rendition:
    return media_pb2.Rendition(
        name=rendition.name,
        state=media_pb2.Rendition.READY,
        content_type=rendition.content_type,
        size_bytes=rendition.blob.size_bytes,
        public_url=public_urls.of(media, rendition),
        checksums=checksums_to_message(rendition.blob.checksums),
        width=rendition.width,
        height=rendition.height,
        version=rendition.version,
        create_time=timestamp(rendition.create_time),
    )


def set_info(
    message: media_pb2.Media | media_pb2.MediaVersion, info: Info, private: PrivateInfo
) -> None:
    """Sets the info field that fits the type of `info`. Its structures have the field names of the
    messages."""
    fields = to_json(info)
    warnings = fields.pop("warnings", ())
    if isinstance(message, media_pb2.Media):
        message.warnings.extend(map(media_pb2.Media.Warning.Value, warnings))
    location = private.location and latlng_pb2.LatLng(**to_json(private.location))
    match info:
        case ImageInfo():
            image = media_pb2.ImageInfo(**fields, exif=private.exif, location=location)
            message.image.CopyFrom(image)
        case VideoInfo():
            fields.pop("video_track", None)
            message.video.CopyFrom(media_pb2.VideoInfo(**fields, location=location))
        case AudioInfo():
            message.audio.CopyFrom(media_pb2.AudioInfo(**fields))
        case DocumentInfo():
            message.document.CopyFrom(media_pb2.DocumentInfo(**fields))


# The fields of an upload that say something about its file, and not about the media.
OF_FILES = {
    *("filename", "content_type", "size_bytes", "max_size_bytes", "checksums"),
    *("media_id", "if_etag"),
}


def spec_from(message: upload_pb2.UploadSpec) -> UploadSpec:
    """Raises InvalidArgument (INVALID_FIELD)."""
    if message.media_id:
        stated = {field.name for field, _ in message.ListFields()} - OF_FILES
        if stated:
            why = "cannot be set with media_id: the media keeps its own"
            raise invalid_fields([(name, why) for name in sorted(stated)])
    return UploadSpec(
        filename=clean(message.filename),
        content_type=message.content_type,
        size_bytes=message.size_bytes if message.HasField("size_bytes") else None,
        max_size_bytes=message.max_size_bytes if message.HasField("max_size_bytes") else None,
        checksums=checksums_from(message.checksums),
        project_id=message.project_id,
        owner=owner_from(message.owner) if message.HasField("owner") else None,
        attributes=Attributes(
            title=message.title,
            description=message.description,
            tags=tuple(message.tags),
            labels=dict(message.labels),
            visibility=visibility_from(message.visibility),
            capture_time=time_from(message, "capture_time"),
            expire_time=time_from(message, "expire_time"),
            rating=message.rating,
            metadata=metadata_from(message.metadata) if message.HasField("metadata") else {},
        ),
        visibility_stated=message.visibility != media_pb2.Media.VISIBILITY_UNSPECIFIED,
        media_id=message.media_id,
        if_etag=message.if_etag,
    )


def spec_to_message(upload: Upload) -> upload_pb2.UploadSpec:
    """What was stated, with defaults filled in."""
    spec, stated = upload.spec, upload.spec.attributes
    message = upload_pb2.UploadSpec(
        filename=spec.filename,
        content_type=spec.content_type,
        size_bytes=spec.size_bytes,
        max_size_bytes=spec.max_size_bytes,
        checksums=checksums_to_message(spec.checksums),
        media_id=spec.media_id,
        if_etag=spec.if_etag,
        project_id=spec.project_id,
        owner=shown_owner(upload.owner),
        title=stated.title,
        description=stated.description,
        tags=stated.tags,
        labels=stated.labels,
        visibility=media_pb2.Media.Visibility.Value(stated.visibility),
        capture_time=optional_timestamp(stated.capture_time),
        expire_time=optional_timestamp(stated.expire_time),
        rating=stated.rating,
    )
    if stated.metadata:
        message.metadata.update(stated.metadata)
    return message


def upload_to_message(result: UploadResult, public_urls: PublicUrls) -> upload_pb2.Upload:
    """`public_urls`: as in `media_to_message`."""
    upload = result.upload
    message = upload_pb2.Upload(
        upload_id=upload.upload_id,
        media_id=upload.media_id,
        state=upload_pb2.Upload.State.Value(upload.state),
        spec=spec_to_message(upload),
        owner=shown_owner(upload.owner),
        project_id=upload.spec.project_id,
        committed_size_bytes=upload.committed_size,
        create_time=timestamp(upload.create_time),
        update_time=timestamp(upload.update_time),
        expire_time=timestamp(upload.expire_time),
    )
    if upload.state is UploadState.ACTIVE:
        message.next_part_number = upload.next_part
        message.min_append_size_bytes = result.min_append_size
        message.max_part_size_bytes = result.max_part_size
    if upload.state is UploadState.FINISHED:
        message.version = upload.version
    if upload.fault:
        message.error.CopyFrom(fault_status(upload.fault))
    if result.media and not from_share_link():
        message.media.CopyFrom(media_to_message(result.media, public_urls))
    return message


def uploaded_to_message(media: Media, public_urls: PublicUrls) -> media_pb2.Media:
    """The media of an upload. A guest gets only its id: guests do not read media, and a repeated
    call would show later changes."""
    if from_share_link():
        return media_pb2.Media(media_id=media.media_id)
    return media_to_message(media, public_urls)


def part_to_message(part: Part) -> upload_pb2.Part:
    return upload_pb2.Part(
        part_number=part.number,
        size_bytes=part.size,
        crc32c=part.crc32c,
        etag=part.etag if part.stored else "",
    )


def listed_part_from(message: upload_pb2.Part) -> ListedPart:
    size = message.size_bytes if message.HasField("size_bytes") else None
    crc32c = message.crc32c if message.HasField("crc32c") else None
    return ListedPart(message.part_number, size, crc32c, message.etag)


def signed_part_to_message(part: SignedPart) -> upload_service_pb2.SignedPart:
    return upload_service_pb2.SignedPart(
        part_number=part.number,
        url=part.request.url,
        headers=part.request.headers,
        expire_time=timestamp(part.expire_time),
    )
