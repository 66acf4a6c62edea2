"""Completes one multipart upload, which joins its parts into an object."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from media_service.failpoints import failpoint
from media_service.storage.crc32c_combine import from_base64
from media_service.storage.driver import StoredPart, blob_missing, part_too_small
from media_service.storage.drivers.s3.client import code_of, permanent_part_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

MIB = 1 << 20
# The smallest part that S3 accepts, except at the end.
MIN_PART = 5 * MIB


async def list_parts(client: "S3Client", target: Mapping[str, Any]) -> AsyncIterator[Any]:
    """Lists the stored parts. `target` has the bucket, key and id of the multipart upload."""
    async for page in client.get_paginator("list_parts").paginate(**target):
        for part in page.get("Parts", []):
            yield part


async def join(
    client: "S3Client", key: str, target: Mapping[str, Any], parts: Sequence[StoredPart], first: int
) -> None:
    """Joins these parts of the blob `key`. `first` is the blob's part number that is part 1 in the
    store.
    Raises DataLoss if the multipart upload or one of the parts is gone.
    """
    found = {part["PartNumber"]: part async for part in list_parts(client, target)}
    joined: list[Any] = []
    for number, part in sorted((part.name.number - first + 1, part) for part in parts):
        stored = found.get(number)
        if stored is None or stored["Size"] != part.size:
            raise blob_missing(key)
        known = stored.get("ChecksumCRC32C")
        if known and part.crc32c is not None and from_base64(known) != part.crc32c:
            raise blob_missing(key)
        named = {"PartNumber": number, "ETag": stored["ETag"]}
        if crc32c := stored.get("ChecksumCRC32C"):
            named["ChecksumCRC32C"] = crc32c
        joined.append(named)
    if [part["PartNumber"] + first - 1 for part in joined] != [part.name.number for part in parts]:
        raise ValueError("S3 joins parts in the order of their numbers")
    failpoint("s3.join.before")
    try:
        with permanent_part_errors():
            await client.complete_multipart_upload(**target, MultipartUpload={"Parts": joined})
    except ClientError as error:
        if code_of(error) != "EntityTooSmall":
            raise
        details: dict[str, Any] = {**error.response["Error"]}
        smallest = min(parts[:-1] or parts, key=lambda part: part.size)
        least = int(details.get("MinSizeAllowed", MIN_PART))
        raise part_too_small(smallest.name.number, least) from error
    failpoint("s3.join.after")
