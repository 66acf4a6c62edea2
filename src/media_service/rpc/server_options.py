"""gRPC's settings of a server: what one connection and one message may hold."""

from collections.abc import Sequence

# In bytes: 2 MiB of data, and room for the rest of the message.
MAX_MESSAGE = 3 << 20
# Of REST, Envoy admits 16 KiB of headers. It adds some, and each counts 32 bytes more.
MAX_METADATA = 24 << 10
# gRPC's own limits are higher than those of the service, because it gives no reason when it
# refuses.
MAX_RECEIVED = 4 << 20
MAX_RECEIVED_METADATA = 48 << 10

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_RECEIVED),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Without the probe, a slow stream buffers kilobytes instead of megabytes. This lookahead lets a
    # fast one continue to send while Python handles the previous message.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 524288),
    # What a stream may buffer, besides the message that is being sent.
    ("grpc.http2.write_buffer_size", 16384),
    # Of one connection. Envoy opens more connections. Streams above it, such as a series of resets,
    # are refused before a handler runs.
    ("grpc.max_concurrent_streams", 256),
    # A burst of calls waits instead of being rejected at random.
    ("grpc.server.max_pending_requests", 20000),
    ("grpc.server.max_pending_requests_hard_limit", 20000),
    # In seconds. With the default of 30, some calls of a burst ended as CANCELLED.
    ("grpc.server_max_unrequested_time_in_server", 600),
    # gRPC refuses at random what is between two different limits.
    ("grpc.max_metadata_size", MAX_RECEIVED_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_RECEIVED_METADATA),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10000),
    # Otherwise a second server on the same port would receive half of the calls.
    ("grpc.so_reuseport", 0),
)
