"""Large transfers with an S3 store, compared with a bare relay to the same S3 server."""

from benchmarks.measure import GIB, Bench, Work, take_turns
from benchmarks.report import Outcome, versus
from benchmarks.transfer import client

MISSING = (
    "versitygw, the S3 server, is not installed:"
    " go install github.com/versity/versitygw/cmd/versitygw@latest"
)


async def s3(bench: Bench) -> Outcome:
    on_s3 = bench.stack.on_s3
    if on_s3 is None:
        return Outcome([], [], [MISSING])
    size = bench.payload.size
    async with client(bench.stack, on_s3) as to:
        media_id = await to.upload(bench.payload, size)
        await to.sink(bench.payload, size)

        async def relay_up() -> float:
            await to.sink(bench.payload, size)
            return size

        async def upload() -> float:
            await to.upload(bench.payload, size)
            return size

        async def relay_down() -> float:
            await to.source(size)
            return size

        async def download() -> float:
            await to.download(media_id, size)
            return size

        works: dict[str, Work] = {
            "bare relay to S3": relay_up,
            "upload to S3, gRPC": upload,
            "bare relay from S3": relay_down,
            "download from S3, gRPC": download,
        }
        found = await take_turns(bench, works, unit=("MB/s", 1e6), cpu_unit=("s/GiB", GIB))
    up, down = found["bare relay to S3"], found["bare relay from S3"]
    rows = [
        versus(f"S3 upload {bench.size}, gRPC", 0.8, found["upload to S3, gRPC"], up, up),
        versus(f"S3 download {bench.size}, gRPC", 0.8, found["download from S3, gRPC"], down, down),
    ]
    return Outcome(rows, list(found.values()))
