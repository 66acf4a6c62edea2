"""Large downloads, compared with bare sources of gRPC messages, and of HttpBody behind Envoy."""

from benchmarks.measure import GIB, Bench, Work, take_turns
from benchmarks.report import Outcome, versus
from benchmarks.transfer import client, curl_discard


async def downloads(bench: Bench) -> Outcome:
    size, stack = bench.payload.size, bench.stack
    async with client(stack) as to:
        media_id = await to.upload(bench.payload, size)

        async def grpc_source() -> float:
            await to.source(size)
            return size

        async def grpc_download() -> float:
            await to.download(media_id, size)
            return size

        async def rest_source() -> float:
            await curl_discard(size, f"{stack.bare_rest}/v1/media/{size}/content")
            return size

        async def rest_download() -> float:
            await curl_discard(size, *to.bearer, f"{stack.rest}/v1/media/{media_id}/content")
            return size

        works: dict[str, Work] = {
            "bare gRPC source": grpc_source,
            "download, gRPC": grpc_download,
            "bare REST source": rest_source,
            "download, REST": rest_download,
        }
        found = await take_turns(bench, works, unit=("MB/s", 1e6), cpu_unit=("s/GiB", GIB))
    stack.discard()
    grpc_limit, rest_limit = found["bare gRPC source"], found["bare REST source"]
    over_grpc, over_rest = f"download {bench.size}, gRPC", f"download {bench.size}, REST"
    rows = [
        versus(over_grpc, 0.8, found["download, gRPC"], grpc_limit, grpc_limit),
        versus(over_rest, 0.7, found["download, REST"], rest_limit, rest_limit),
    ]
    return Outcome(rows, list(found.values()))
