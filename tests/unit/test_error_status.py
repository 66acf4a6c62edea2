"""An error fits into gRPC metadata, whatever the request contained."""

import grpc
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from media_service.errors import InvalidArgument, Reason
from media_service.rpc.error_status import abort, to_status

LONG = st.sampled_from(["x", "é", "%", "\n", "🙂", "x é"]).map(lambda text: text * 100_000)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | LONG
# The limit that every client accepts; some refuse larger responses.
ROOM = 8192


class Context:
    """Records what gRPC would send, and its size."""

    sent = 0

    async def abort(
        self, code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        plain = sum(" " <= character <= "~" and character != "%" for character in message)
        beyond = "".join(c for c in message if not " " <= c <= "~" or c == "%")
        self.sent = plain + 3 * len(beyond.encode())
        for name, value in trailers:
            length = len(value) * 4 // 3 + 4 if isinstance(value, bytes) else len(value)
            self.sent += len(name) + length + 32  # as HTTP/2 counts


@given(TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=50))
async def test_an_error_fits_into_metadata(
    message: str, fact: str, fields: list[tuple[str, str]]
) -> None:
    context = Context()
    error = InvalidArgument(Reason.INVALID_FIELD, message, tuple(fields), fact=fact)
    await abort(context, error)  # type: ignore[arg-type]
    assert context.sent < ROOM


def test_a_short_error_is_not_truncated() -> None:
    error = InvalidArgument(Reason.INVALID_FIELD, "größer 100%", (("a", "é"), ("b", "x")), fact="%")
    status = to_status(error)
    assert status.message == "größer 100%"
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    status.details[1].Unpack(request)
    assert info.metadata == {"fact": "%"}
    assert [(v.field, v.description) for v in request.field_violations] == list(error.fields)
