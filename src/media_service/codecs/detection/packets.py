"""Detects streams of packets and packs: MPEG transport streams and program streams, DV, MXF."""

from media_service.codecs.detection.data import Data

SYNC = b"G"
# Plain packets, packets behind a time stamp (AVCHD, Blu-ray), and packets before a checksum.
PACKET_SIZES = (188, 192, 204)
# A recording may begin within a packet, and then more packets must follow.
MIN_PACKETS, MIN_PACKETS_BEHIND = 5, 8
# The key of the first partition pack. Up to 64 KiB of other data may precede it (SMPTE 377-1).
MXF_KEY = bytes.fromhex("060e2b34020501010d010201")
MXF_BYTES = 1 << 16


def detect(data: Data) -> str:
    if is_transport_stream(data):
        return "video/mp2t"
    if data[: MXF_BYTES + len(MXF_KEY)].find(MXF_KEY) >= 0:
        return "application/mxf"
    return ""


def is_transport_stream(data: Data) -> bool:
    for size in PACKET_SIZES:
        usual = size - 188 if size == 192 else 0
        if is_repeated(data, usual, size, MIN_PACKETS):
            return True
        for start in range(size):
            if data[start : start + 1] == SYNC and is_repeated(
                data, start, size, MIN_PACKETS_BEHIND
            ):
                return True
    return False


def is_repeated(data: Data, start: int, size: int, packets: int) -> bool:
    return data[start : start + packets * size : size] == SYNC * packets
