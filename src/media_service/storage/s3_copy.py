"""Copies within one S3 store: the bytes do not come here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from media_service.storage.driver import PartName, StoredPart
from media_service.storage.parallel import for_each
from media_service.storage.s3_client import translated
from media_service.storage.s3_join import MIN_PART

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# One request copies up to 5 GiB on AWS; but others answer only when they are through, and more
# than this may take them longer than a request is waited for.
WHOLE = 1 << 30
# 10 000 pieces of this size are 2.4 TiB.
PIECE = 256 << 20
PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Source:
    """An object, of which the first `size` bytes are copied. `name`: its bucket and key there."""

    key: str
    name: Mapping[str, Any]
    size: int


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
    client: "S3Client", sources: Sequence[Source], target: Mapping[str, Any]
) -> list[StoredPart]:
    """Copies the sources, one after the other, as parts of an open multipart upload: bucket, key
    and id in `target`. Raises DataLoss if a source is gone."""

    async def copy(piece: tuple[int, Source, range]) -> StoredPart:
        number, source, span = piece
        # S3 takes a range only of what is larger. Another object in the source's place makes a
        # part of another size then, which is not joined.
        asked = dict(target)
        if source.size > MIN_PART:
            asked["CopySourceRange"] = f"bytes={span.start}-{span.stop - 1}"
        with translated(source.key):
            await client.upload_part_copy(
                **asked,
                PartNumber=number,
                CopySource={"Bucket": source.name["Bucket"], "Key": source.name["Key"]},
            )
        return StoredPart(PartName(number, 0), len(span), sealed=True)

    spans = [(source, span) for source in sources for span in cut(source.size)]
    pieces = [(number, source, span) for number, (source, span) in enumerate(spans, 1)]
    return await for_each(copy, pieces, PARALLEL)


def cut(size: int) -> list[range]:
    """Pieces of `size` bytes. The last one has the rest, too, which by itself might be less than
    S3 takes where more follows."""
    starts = range(0, max(size - PIECE, 0) + 1, PIECE)
    return [range(at, at + PIECE) for at in starts[:-1]] + [range(starts[-1], size)]
