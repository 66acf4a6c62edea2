"""Copies objects within one S3 store. No bytes pass through this process."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from media_service.storage.concurrency import for_each
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.s3.client import code_of, translated
from media_service.storage.drivers.s3.complete_multipart import MIN_PART

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# The largest object that is copied in one request. AWS allows 5 GiB. Other stores respond only when
# the copy is complete, which for larger objects may exceed the time limit of a request.
WHOLE = 1 << 30
# The size of a range to copy. 10,000 ranges are 2.4 TiB.
RANGE = 256 << 20
PARALLEL = 8


@dataclass(frozen=True, slots=True)
class ObjectToCopy:
    """An object whose first `size` bytes are copied. `name` has its bucket and key."""

    key: str
    name: Mapping[str, Any]
    size: int


async def copy_whole(
    client: "S3Client", source: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    """Copies an object in one request. `source` has the bucket and key. `target` has the bucket,
    the key, and the properties of the copy, which inherits only the bytes."""
    await client.copy_object(
        **target,
        CopySource={"Bucket": source["Bucket"], "Key": source["Key"]},
        MetadataDirective="REPLACE",
        ChecksumAlgorithm="CRC32C",
    )


async def copy_ranges(
    client: "S3Client", sources: Sequence[ObjectToCopy], target: Mapping[str, Any]
) -> list[StoredPart]:
    """Copies the concatenated sources as parts of an open multipart upload. `target` has its
    bucket, key and id. Raises DataLoss if a source is gone."""

    async def copy(item: tuple[int, ObjectToCopy, range]) -> StoredPart:
        number, source, span = item
        request = dict(target)
        # S3 refuses a range of a smaller object. If the source's key now has a different object,
        # the part gets a different size, which `join` refuses.
        if source.size > MIN_PART:
            request["CopySourceRange"] = f"bytes={span.start}-{span.stop - 1}"
        with translated(source.key):
            async with missing_source(client, source):
                await client.upload_part_copy(
                    **request,
                    PartNumber=number,
                    CopySource={"Bucket": source.name["Bucket"], "Key": source.name["Key"]},
                )
        return StoredPart(PartName(number, 0), len(span), sealed=True)

    spans = [(source, span) for source in sources for span in split(source.size)]
    items = [(number, source, span) for number, (source, span) in enumerate(spans, 1)]
    return await for_each(copy, items, PARALLEL)


@asynccontextmanager
async def missing_source(client: "S3Client", source: ObjectToCopy) -> AsyncIterator[None]:
    """Raises the error of a missing object if a source is gone, of which SeaweedFS says
    InvalidArgument."""
    try:
        yield
    except ClientError as error:
        if code_of(error) == "InvalidArgument":
            await client.head_object(Bucket=source.name["Bucket"], Key=source.name["Key"])
        raise


def split(size: int) -> list[range]:
    """Splits `size` bytes into ranges. The last range includes the remainder, because a separate
    range could be smaller than S3 accepts if more parts follow."""
    starts = range(0, max(size - RANGE, 0) + 1, RANGE)
    return [range(at, at + RANGE) for at in starts[:-1]] + [range(starts[-1], size)]
