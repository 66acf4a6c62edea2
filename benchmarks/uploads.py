"""Large uploads, compared with the slower of two limits: a bare gRPC sink, and `dd` with fsync."""

import base64

from benchmarks.bare import KEEP, SINK
from benchmarks.measure import GIB, Bench, Work, take_turns
from benchmarks.report import Outcome, versus
from benchmarks.stack import MESSAGE
from benchmarks.transfer import Client, client, curl, curl_json, run


async def dd(bench: Bench) -> float:
    """Copies the same bytes from the page cache to the service's file system."""
    target = bench.stack.scratch / "dd"
    await run(
        ["dd", f"if={bench.payload.path}", f"of={target}", f"bs={MESSAGE}", "conv=fsync"],
    )
    return bench.payload.size


async def sink(bench: Bench, to: Client, method: str) -> float:
    await to.sink(bench.payload, bench.payload.size, method)
    return bench.payload.size


async def grpc_upload(bench: Bench, to: Client) -> float:
    await to.upload(bench.payload, bench.payload.size)
    return bench.payload.size


async def rest_upload(bench: Bench, to: Client) -> float:
    """`curl` streams the file as a raw body; the digest makes the service verify it."""
    digest = base64.b64encode(bench.payload.crc32c.to_bytes(4)).decode()
    media = await curl_json(
        *to.bearer,
        *("-X", "POST", "-T", str(bench.payload.path)),
        *("-H", "Content-Type: video/mp4", "-H", f"Repr-Digest: crc32c=:{digest}:"),
        f"{bench.stack.rest}/v1/media:upload?filename=bench.mp4",
    )
    assert int(media["sizeBytes"]) == bench.payload.size
    return bench.payload.size


async def tusd_upload(bench: Bench) -> float:
    """Uploads to tusd for comparison: one POST, then one PATCH."""
    tus = ("-H", "Tus-Resumable: 1.0.0")
    length = ("-H", f"Upload-Length: {bench.payload.size}")
    where = ("-o", "/dev/null", "-w", "%header{location}")
    location = await curl("-X", "POST", *tus, *length, *where, bench.stack.tusd)
    await curl(
        *("-X", "PATCH", "-T", str(bench.payload.path), *tus, "-H", "Upload-Offset: 0"),
        *("-H", "Content-Type: application/offset+octet-stream", location.decode()),
    )
    return bench.payload.size


async def uploads(bench: Bench) -> Outcome:
    async with client(bench.stack) as to:
        works: dict[str, Work] = {
            "dd conv=fsync": lambda: dd(bench),
            "bare gRPC sink": lambda: sink(bench, to, SINK),
            "bare gRPC sink into a file": lambda: sink(bench, to, KEEP),
            "upload, gRPC": lambda: grpc_upload(bench, to),
            "upload, REST": lambda: rest_upload(bench, to),
        }
        if bench.stack.tusd:
            works["upload, tusd"] = lambda: tusd_upload(bench)
        found = await take_turns(
            bench,
            works,
            unit=("MB/s", 1e6),
            cpu_unit=("s/GiB", GIB),
            after=bench.stack.discard,
        )
    bare = found["bare gRPC sink"]
    limit = min(found["dd conv=fsync"], bare, key=lambda contender: contender.median)
    over_grpc = f"upload {bench.size}, one gRPC stream, durable, verified"
    over_rest = f"upload {bench.size}, REST through Envoy, durable, verified"
    rows = [
        versus(over_grpc, 0.8, found["upload, gRPC"], limit, bare),
        versus(over_rest, 0.7, found["upload, REST"], limit, bare),
    ]
    kept = found["bare gRPC sink into a file"].median
    notes = [
        f"Uploads: bare gRPC that also writes and syncs reaches {kept / limit.median:.2f} of the"
        f" limit; the service reaches {found['upload, gRPC'].median / kept:.2f} of that."
    ]
    if bench.stack.tusd:
        peer = found["upload, tusd"]
        rows.append(
            versus(f"peer: tusd, {bench.size}, one PATCH, not synced", None, peer, limit, bare)
        )
    else:
        notes.append(
            "tusd, a peer, is not installed: go install github.com/tus/tusd/v2/cmd/tusd@latest"
        )
    return Outcome(rows, list(found.values()), notes)
