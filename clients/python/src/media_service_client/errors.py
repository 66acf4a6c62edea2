"""The one error of the client, decoded from whatever the service or gRPC sent."""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

CODES = {code.value[0]: code for code in grpc.StatusCode}


class MediaServiceError(Exception):
    """A call failed for good.

    `reason` is stable and documented in docs/errors.md, or empty if gRPC itself failed. `message`
    is for people, `metadata` holds the same facts for programs, `fields` the violations of a
    request: (field, what is wrong). `retry_after_seconds` is how long the service asked to wait.
    `request_id` is the one under which a failed upload was created; passing it to `upload`
    continues that upload. `upload_id` names the upload, if it is known.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds
        self.upload_id = ""
        self.request_id = ""

    def __str__(self) -> str:
        told = self.message
        violations = "".join(f"; {f}: {wrong}" for f, wrong in self.fields if wrong not in told)
        return f"{self.message}{violations} ({self.reason or self.code.name})"


def from_status(status: status_pb2.Status) -> MediaServiceError:
    """The error a `google.rpc.Status` describes."""
    reason = ""
    metadata: dict[str, str] = {}
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            fields = tuple((v.field, v.description) for v in bad.field_violations)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return MediaServiceError(code, reason, status.message, metadata, fields, retry_after)


def from_rpc(error: grpc.RpcError) -> MediaServiceError:
    """The error of a failed call, with the service's details if it sent any."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # details that contradict the status are worth nothing
        status = None
    if status is None:
        found = MediaServiceError(error.code(), "", error.details() or "the call failed")
    else:
        found = from_status(status)
    headers = error.initial_metadata()  # type: ignore[attr-defined]  # of all calls that fail
    found.upload_id = dict(headers or ()).get("x-upload-id", "")
    return found
