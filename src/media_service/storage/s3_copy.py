"""Copies within one S3 store: the bytes do not come here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from media_service.storage.driver import PartName, StoredPart
from media_service.storage.parallel import for_each

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# One request copies up to 5 GiB on AWS; but others answer only when they are through, and more
# than this may take them longer than a request is waited for.
WHOLE = 1 << 30
# 10 000 pieces of this size are 2.4 TiB.
PIECE = 256 << 20
PARALLEL = 8


async def copy_whole(
    client: "S3Client", source: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    """`source` and `target`: bucket and key. `target` also has what the copy is to be: it takes
    nothing over but the bytes."""
    await client.copy_object(
        **target,
        CopySource={"Bucket": source["Bucket"], "Key": source["Key"]},
        MetadataDirective="REPLACE",
        ChecksumAlgorithm="CRC32C",
    )


async def copy_pieces(
    client: "S3Client", source: Mapping[str, Any], target: Mapping[str, Any], size: int
) -> list[StoredPart]:
    """Copies all bytes as parts of an open multipart upload: bucket, key and id in `target`."""

    async def copy(offset: int) -> StoredPart:
        number, length = offset // PIECE + 1, min(PIECE, size - offset)
        await client.upload_part_copy(
            **target,
            PartNumber=number,
            CopySource={"Bucket": source["Bucket"], "Key": source["Key"]},
            CopySourceRange=f"bytes={offset}-{offset + length - 1}",
        )
        return StoredPart(PartName(number, 0), length, sealed=True)

    return await for_each(copy, range(0, size, PIECE), PARALLEL)
