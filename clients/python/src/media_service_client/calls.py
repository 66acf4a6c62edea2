"""Unary calls, tried again while the failure may pass. Every one of them is safe to repeat."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from mediaservice.v1 import (
    audit_service_pb2,
    download_service_pb2,
    job_pb2,
    job_service_pb2,
    media_pb2,
    media_service_pb2,
)

from media_service_client.errors import MediaServiceError
from media_service_client.retry import Backoff, Retries, is_transient
from media_service_client.steps import Call, Sleep, Steps


def call(method: str, request: Message, backoff: Backoff) -> Steps[Any]:
    """The response of one RPC."""
    retries = Retries(backoff)
    while True:
        try:
            return (yield Call(method, request))
        except MediaServiceError as error:
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))


def get(media_id: str, backoff: Backoff, *, full: bool) -> Steps[media_pb2.Media]:
    view = media_pb2.Media.FULL if full else media_pb2.Media.BASIC
    request = media_service_pb2.GetMediaRequest(media_id=media_id, view=view)
    return call("GetMedia", request, backoff)


def page(
    request: media_service_pb2.ListMediaRequest, backoff: Backoff
) -> Steps[media_service_pb2.ListMediaResponse]:
    return call("ListMedia", request, backoff)


def search(
    request: media_service_pb2.SearchMediaRequest, backoff: Backoff
) -> Steps[media_service_pb2.SearchMediaResponse]:
    return call("SearchMedia", request, backoff)


def facets(
    request: media_service_pb2.CountFacetsRequest, backoff: Backoff
) -> Steps[media_service_pb2.CountFacetsResponse]:
    return call("CountFacets", request, backoff)


def update(
    media: media_pb2.Media, paths: Iterable[str], backoff: Backoff
) -> Steps[media_pb2.Media]:
    request = media_service_pb2.UpdateMediaRequest(media=media, update_mask=FieldMask(paths=paths))
    return call("UpdateMedia", request, backoff)


def delete(media_id: str, etag: str, backoff: Backoff) -> Steps[media_pb2.Media]:
    request = media_service_pb2.DeleteMediaRequest(media_id=media_id, etag=etag)
    return call("DeleteMedia", request, backoff)


def undelete(media_id: str, backoff: Backoff) -> Steps[media_pb2.Media]:
    request = media_service_pb2.UndeleteMediaRequest(media_id=media_id)
    return call("UndeleteMedia", request, backoff)


def sign_url(
    media_id: str,
    rendition: str,
    ops: str,
    ttl: timedelta,
    backoff: Backoff,
    *,
    attachment: bool,
    direct: bool,
) -> Steps[download_service_pb2.SignUrlResponse]:
    request = download_service_pb2.SignUrlRequest(
        media_id=media_id, rendition=rendition, ops=ops, attachment=attachment, direct=direct
    )
    request.ttl.FromTimedelta(ttl)
    return call("SignUrl", request, backoff)


def once(method: str, request: Message, done: str, backoff: Backoff) -> Steps[Any]:
    """The response of a call that says `done`, a reason, if it is repeated; None if that is what a
    repetition said: then an earlier try got through although its answer did not."""
    retries = Retries(backoff)
    retried = False
    while True:
        try:
            return (yield Call(method, request))
        except MediaServiceError as error:
            if retried and error.reason == done:
                return None
            if not is_transient(error):
                raise
            yield Sleep(retries.pause(error))
            retried = True


def purge(media_id: str, backoff: Backoff) -> Steps[None]:
    request = media_service_pb2.PurgeMediaRequest(media_id=media_id)
    return once("PurgeMedia", request, "MEDIA_NOT_FOUND", backoff)


def delete_rendition(
    media_id: str, rendition: str, etag: str, backoff: Backoff
) -> Steps[media_pb2.Media]:
    request = media_service_pb2.DeleteRenditionRequest(
        media_id=media_id, rendition=rendition, etag=etag
    )
    left: media_pb2.Media | None = yield from once(
        "DeleteRendition", request, "RENDITION_NOT_FOUND", backoff
    )
    return left or (yield from get(media_id, backoff, full=False))


JOB_REQUESTS = {
    "GetJob": job_service_pb2.GetJobRequest,
    "CancelJob": job_service_pb2.CancelJobRequest,
}


def job(method: str, job_id: str, backoff: Backoff) -> Steps[job_pb2.Job]:
    return call(method, JOB_REQUESTS[method](job_id=job_id), backoff)


def retry_job(job_id: str, backoff: Backoff) -> Steps[job_pb2.Job]:
    request = job_service_pb2.RetryJobRequest(job_id=job_id, request_id=str(uuid.uuid4()))
    return call("RetryJob", request, backoff)


def audit_export(
    resource: str,
    user_id: str,
    csv: bool,
    start_time: datetime | None,
    end_time: datetime | None,
) -> tuple[str, Message]:
    """The method and the request that export the audit log of a resource, or of a user."""
    kind, _, name = resource.partition(":")
    methods: dict[str, tuple[str, Any]] = {
        "media": (
            "ExportAudit",
            audit_service_pb2.ExportAuditRequest(media_id=name),
        ),
        "project": (
            "ExportProjectAudit",
            audit_service_pb2.ExportProjectAuditRequest(project_id=name),
        ),
        "organization": (
            "ExportOrganizationAudit",
            audit_service_pb2.ExportOrganizationAuditRequest(organization_id=name),
        ),
        "": ("ExportActivity", audit_service_pb2.ExportActivityRequest(user_id=user_id)),
    }
    if kind not in methods:
        raise ValueError(f"{resource!r} is not media:ID, project:ID or organization:ID")
    method, request = methods[kind]
    formats = audit_service_pb2.ExportAuditRequest
    request.format = formats.CSV if csv else formats.NDJSON
    if start_time:
        request.start_time.FromDatetime(start_time)
    if end_time:
        request.end_time.FromDatetime(end_time)
    return method, request
