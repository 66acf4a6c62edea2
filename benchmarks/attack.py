"""Clients that take up memory: readers that do not read, and requests that never end."""

import asyncio
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import psutil

from benchmarks.many import Memory
from benchmarks.measure import MIB, Bench, say
from benchmarks.ordinary import occasional_use, ordinary_use
from benchmarks.payload import make_payload
from benchmarks.report import Outcome
from benchmarks.transfer import client
from benchmarks.trickle import P99_MS, Reads, row
from media_service.cli.token_signing import sign
from media_service.config import load
from tests.support.http2 import Http2

LIMITS = {"server": 300 * MIB, "Envoy": 500 * MIB}
TOGETHER = 800 * MIB
BACK = 1.3
# More than the buffers on the way of a reader hold.
STALLED_SIZE = 16 * MIB
PRINCIPALS = 200
CALLS = 1200
CONNECTIONS = 300
GET_MEDIA = "mediaservice.v1.MediaService/GetMedia"
# The beginning of a message of 2 MiB, as much as a stream's first window takes.
MESSAGE = b"\0" + struct.pack(">I", 2 << 20) + bytes(60_000)
JSON = b'{"requests": [' + b" " * (MIB - 100)

# Opens connections, keeps them in the stack, and returns how many of them do what.
Attack = Callable[[ExitStack], Counter[str]]


def connect(
    bench: Bench, stack: ExitStack, head: Sequence[str], body: bytes = b""
) -> socket.socket:
    """Sends the beginning of a request to Envoy. The receive buffer is as small as possible."""
    address = urlsplit(bench.stack.rest)
    connection = stack.enter_context(closing(socket.socket()))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((address.hostname, address.port))
    connection.sendall("\r\n".join([*head, "Host: x", "", ""]).encode() + body)
    return connection


def status_of(connection: socket.socket) -> str:
    try:
        return connection.recv(12).decode(errors="replace")
    except OSError as error:
        return repr(error)


async def stalled(bench: Bench) -> Outcome:
    count = bench.crowd // 5
    config = load(bench.stack.settings)
    payload = make_payload(bench.stack.folder / "stalled.mp4", STALLED_SIZE)
    targets = []
    for number in range(PRINCIPALS):
        token = sign(config, config.jwt_secret, f"stalled-{number}", timedelta(days=1))
        async with client(replace(bench.stack, token=token)) as to:
            media_id = await to.upload(payload, STALLED_SIZE)
        targets.append((media_id, token))

    def attack(stack: ExitStack) -> Counter[str]:
        connections = []
        for number in range(count):
            media_id, token = targets[number % PRINCIPALS]
            head = [f"GET /v1/media/{media_id}/content HTTP/1.1", f"Authorization: Bearer {token}"]
            connections.append(connect(bench, stack, head))
        return Counter(map(status_of, connections))

    return await measured(bench, f"{count} stalled readers", attack, LIMITS)


async def unfinished(bench: Bench) -> Outcome:
    def attack(stack: ExitStack) -> Counter[str]:
        connections = [stack.enter_context(Http2(bench.stack.grpc)) for _ in range(CALLS // 200)]
        tokens: list[dict[str, str]] = [{}, {"authorization": f"Bearer {bench.stack.token}"}]
        for number in range(CALLS):
            connection = connections[number % len(connections)]
            with suppress(ConnectionError):
                connection.data(connection.call(GET_MEDIA, tokens[number % 2]), MESSAGE)
        head = ["POST /v1/uploads:batchCreate HTTP/1.1", f"Content-Length: {MIB}"]
        for _ in range(CONNECTIONS):
            connect(bench, stack, head, JSON)
        return Counter({"messages begun": CALLS, "JSON bodies begun": CONNECTIONS})

    name = f"{CALLS} unfinished messages and {CONNECTIONS} JSON bodies"
    return await measured(bench, name, attack, {})


async def measured(bench: Bench, name: str, attack: Attack, limits: Mapping[str, int]) -> Outcome:
    """Memory and the latency of other calls while the attack lasts, and memory after it."""
    memories = {role: Memory([psutil.Process(bench.stack.pids[role])]) for role in LIMITS}
    unused = sum(memory.now() for memory in memories.values())
    await ordinary_use(bench)
    reads = Reads(bench)
    reading = asyncio.create_task(reads.run())
    occasional = asyncio.create_task(occasional_use(bench))
    await asyncio.sleep(6 * bench.seconds)
    befores = {role: memory.now() for role, memory in memories.items()}
    before = sum(befores.values())
    watching = [asyncio.create_task(memory.watch()) for memory in memories.values()]
    reads.p99()
    with ExitStack() as connections:
        start = time.perf_counter()
        statuses = await asyncio.to_thread(attack, connections)
        say(f"  {name} after {time.perf_counter() - start:.1f} s: {dict(statuses)}")
        await asyncio.sleep(3 * bench.seconds)
        under_attack = reads.p99()
    reading.cancel()
    for task in watching:
        task.cancel()
    bench.stack.discard()
    await asyncio.sleep(6 * bench.seconds)
    afters = {role: memory.now() for role, memory in memories.items()}
    after = sum(afters.values())
    occasional.cancel()
    rows = [row(f"{name}: p99 of GetMedia", "ms", P99_MS, under_attack, most=True)]
    rows += [
        row(f"{name}: {role}", "MiB", limit / MIB, memories[role].highest / MIB, most=True)
        for role, limit in limits.items()
    ]
    together = sum(memory.highest for memory in memories.values())
    rows += [
        row(f"{name}: server and Envoy", "MiB", TOGETHER / MIB, together / MIB, most=True),
        row(
            f"{name}: memory {6 * bench.seconds:g} s later",
            "MiB",
            BACK * before / MIB,
            after / MIB,
            most=True,
        ),
    ]
    each = ", ".join(
        f"{role} {befores[role] / MIB:.0f} before and {afters[role] / MIB:.0f} MiB afterwards"
        for role in memories
    )
    notes = [
        f"{name}: {', '.join(f'{count} × {status}' for status, count in statuses.items())}."
        " One request over REST a second, before and afterwards, too."
        f" Memory: {each}; {unused / MIB:.0f} MiB together before any use."
    ]
    return Outcome(rows, [], notes)
