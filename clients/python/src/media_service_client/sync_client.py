"""The blocking client. Written by async_to_sync.py."""

import os
import time
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from mediaservice.v1 import (
    access_service_pb2,
    archive_service_pb2,
    audit_service_pb2,
    batch_service_pb2,
    collection_service_pb2,
    credentials_service_pb2,
    download_service_pb2,
    duplicate_service_pb2,
    event_service_pb2,
    job_pb2,
    job_service_pb2,
    media_pb2,
    media_service_pb2,
    policy_service_pb2,
    privacy_service_pb2,
    processing_service_pb2,
    quota_service_pb2,
    rule_pb2,
    share_link_service_pb2,
    upload_pb2,
    upload_service_pb2,
    webhook_service_pb2,
)
from mediaservice.v1.audit_pb2 import AuditEntry

from media_service_client import calls
from media_service_client.channel import OPTIONS, Endpoint
from media_service_client.download import Reception, content_id, download
from media_service_client.download import resume as resumed
from media_service_client.errors import MediaServiceError
from media_service_client.retry import DEFAULT, Backoff, Retries, is_transient
from media_service_client.source import Uploadable, open_source
from media_service_client.state import OPEN, UNFINISHED, Wanted
from media_service_client.steps import Progress, ignore_progress
from media_service_client.sync_transport import SyncTransport
from media_service_client.target import Downloadable, ResumableTarget, open_target
from media_service_client.upload import upload, upload_spec


class Client:
    """A connection to a media service; close it or use `with`.
    Threads may share it.

    `token` is an access token or an API key. `ca_file` (PEM) or `tls=True` (public authorities)
    turns TLS on. Failures that may pass are tried again by `backoff`; every other one is raised as
    `MediaServiceError`.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        token: str = "",
        tls: bool = False,
        ca_file: Path | None = None,
        backoff: Backoff = DEFAULT,
    ) -> None:
        endpoint = Endpoint(address=address, token=token, tls=tls, ca_file=ca_file)
        credentials = endpoint.credentials
        self._channel = (
            grpc.secure_channel(address, credentials, OPTIONS)
            if credentials
            else grpc.insecure_channel(address, OPTIONS)
        )
        self._transport = SyncTransport(self._channel, endpoint.metadata)
        self._backoff = backoff

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def upload(
        self,
        source: Uploadable,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        title: str = "",
        description: str = "",
        tags: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        visibility: media_pb2.Media.Visibility.ValueType = media_pb2.Media.VISIBILITY_UNSPECIFIED,
        project_id: str = "",
        media_id: str = "",
        if_etag: str = "",
        request_id: str | None = None,
        upload_id: str | None = None,
        progress: Progress = ignore_progress,
        parallel: int = 1,
    ) -> media_pb2.Media:
        """Stores a file (a path, bytes, or a binary file object) and returns its media: only its id
        to the session of a share link.

        Continues where the durable bytes end when the connection breaks or the service restarts.
        With the `request_id` or the `upload_id` of an earlier, interrupted upload of the same file,
        and the same attributes, it continues that one. The bytes must have the type `content_type`,
        if it is set. The media gets the `title`, the `labels` and so on. With `media_id`, the file
        replaces that of this media, if its etag is still `if_etag`, and what is stated about the
        media must not be set. With `parallel`, it sends
        that many parts at a time, which is faster over distant networks.
        """
        with open_source(source) as opened:
            wanted = Wanted(
                upload_spec(
                    opened,
                    filename,
                    content_type,
                    title=title,
                    description=description,
                    tags=tags,
                    labels=labels,
                    visibility=visibility,
                    project_id=project_id,
                    media_id=media_id,
                    if_etag=if_etag,
                ),
                request_id or str(uuid.uuid4()),
                upload_id or "",
                fresh=not request_id,
            )
            return self._transport.run(upload(opened, wanted, self._backoff, progress, parallel))

    def download(
        self,
        media_id: str,
        target: Downloadable,
        *,
        rendition: str = "",
        version: int = 0,
        offset: int = 0,
        limit: int = 0,
        resume: bool = False,
        progress: Progress = ignore_progress,
    ) -> media_pb2.Media:
        """Fetches the original or a rendition, or a range of it, into a path or a binary file
        object.

        A path appears only once all its bytes are there and right. A negative `offset` counts
        from the end; a `limit` of 0 means to the end. Both are in bytes.

        `version` 0 is the current one. Another one needs the role EDITOR, and the media that is
        returned is as this version shows it.

        With `resume`, an interrupted download to a path leaves a `.part` file beside it, and the
        next one of the same content to this path continues it. The checksum covers both. That of
        a `version` begins again.
        """
        whole_now = resume and not (offset or limit or version)
        if whole_now and isinstance(target, str | os.PathLike):
            media = self.get(media_id)
            if content := content_id(media, rendition):
                whole = download_service_pb2.DownloadRequest(media_id=media_id, rendition=rendition)
                with ResumableTarget(Path(target), content) as part:
                    reception = Reception(whole, part, progress)
                    return self._transport.run(resumed(reception, media, part, self._backoff))
        request = download_service_pb2.DownloadRequest(
            media_id=media_id, rendition=rendition, version=version, offset=offset, limit=limit
        )
        with open_target(target) as opened:
            reception = Reception(request, opened, progress)
            return self._transport.run(download(reception, self._backoff))

    def get(self, media_id: str, *, full: bool = False) -> media_pb2.Media:
        """One media; `full` adds EXIF tags and locations."""
        return self._transport.run(calls.get(media_id, self._backoff, full=full))

    def list(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        page_size: int = 0,
        show_deleted: bool = False,
    ) -> Iterator[media_pb2.Media]:
        """The caller's media, newest first, fetched page by page as they are consumed."""
        request = media_service_pb2.ListMediaRequest(
            filter=filter, order_by=order_by, page_size=page_size, show_deleted=show_deleted
        )
        while True:
            response = self._transport.run(calls.page(request, self._backoff))
            for media in response.media:
                yield media
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def count(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        show_deleted: bool = False,
    ) -> tuple[int, bool]:
        """How many media the caller has, and whether that is an estimate, as it is above 10 000."""
        request = media_service_pb2.ListMediaRequest(
            filter=filter, page_size=1, show_deleted=show_deleted, show_total=True
        )
        response = self._transport.run(calls.page(request, self._backoff))
        return response.total_count, response.total_approximate

    def search(
        self,
        query: str,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        project_id: str = "",
        page_size: int = 0,
    ) -> Iterator[media_service_pb2.SearchMediaResponse.Hit]:
        """The media with the words of the query, best first, fetched page by page as they are
        consumed."""
        request = media_service_pb2.SearchMediaRequest(
            query=query, filter=filter, project_id=project_id, page_size=page_size
        )
        while True:
            response = self._transport.run(calls.search(request, self._backoff))
            for hit in response.hits:
                yield hit
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def count_facets(
        self,
        query: str = "",
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        project_id: str = "",
        dimensions: Iterable[media_service_pb2.CountFacetsRequest.Dimension.ValueType] = (),
        max_values: int = 0,
    ) -> media_service_pb2.CountFacetsResponse:
        """How many media have which kind, type, tag, project and month, of those that match."""
        request = media_service_pb2.CountFacetsRequest(
            query=query,
            filter=filter,
            project_id=project_id,
            dimensions=dimensions,
            max_values=max_values,
        )
        return self._transport.run(calls.facets(request, self._backoff))

    def update(self, media: media_pb2.Media, paths: Iterable[str] = ()) -> media_pb2.Media:
        """Sets the fields named by `paths` (filename, title, description, tags).

        No paths: those set in `media`. If `media.etag` is set it must still be current.
        """
        return self._transport.run(calls.update(media, paths, self._backoff))

    def sign_url(
        self,
        media_id: str,
        *,
        rendition: str = "",
        ops: str = "",
        ttl: timedelta = timedelta(minutes=15),
        attachment: bool = False,
        direct: bool = False,
    ) -> download_service_pb2.SignUrlResponse:
        """A `url` that reads the original, or a rendition, or an image that `ops` render from it,
        without a token, and its `expire_time`.

        `attachment`: a browser is to save it. `direct`: past the service, if the store can.
        """
        return self._transport.run(
            calls.sign_url(
                media_id,
                rendition,
                ops,
                ttl,
                self._backoff,
                attachment=attachment,
                direct=direct,
            )
        )

    def create_archive(
        self,
        media_ids: Sequence[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        project_id: str = "",
        collection_id: str = "",
        rendition: str = "",
        filename: str = "",
    ) -> archive_service_pb2.Archive:
        """A ZIP archive of media, or of those that a filter, a project or a collection selects. Its
        `url` reads it without a token until its `expire_time`, and continues at any byte."""
        request = archive_service_pb2.CreateArchiveRequest(
            media_ids=media_ids,
            filter=filter,
            project_id=project_id,
            collection_id=collection_id,
            rendition=rendition,
            filename=filename,
        )
        archive: archive_service_pb2.Archive = self._transport.run(
            calls.call("CreateArchive", request, self._backoff)
        )
        return archive

    def revoke_signed_urls(self, *, media_id: str = "", signer: str = "") -> None:
        """Ends the signed URLs of a media, or those of a `signer`: "me", or for administrators
        "user:ID"."""
        request = download_service_pb2.RevokeSignedUrlsRequest(media_id=media_id, signer=signer)
        self._transport.run(calls.call("RevokeSignedUrls", request, self._backoff))

    def delete(self, media_id: str, *, etag: str = "") -> media_pb2.Media:
        """Soft-deletes: it can be undeleted until `purge_time`."""
        return self._transport.run(calls.delete(media_id, etag, self._backoff))

    def undelete(self, media_id: str) -> media_pb2.Media:
        """Takes a soft delete back."""
        return self._transport.run(calls.undelete(media_id, self._backoff))

    def delete_rendition(self, media_id: str, rendition: str, *, etag: str = "") -> media_pb2.Media:
        """Removes a rendition and its bytes for good; returns the media without it."""
        steps = calls.delete_rendition(media_id, rendition, etag, self._backoff)
        return self._transport.run(steps)

    def purge(self, media_id: str) -> None:
        """Removes a soft-deleted media and its bytes for good."""
        self._transport.run(calls.purge(media_id, self._backoff))

    def empty_trash(self, *, project_id: str = "") -> Iterator[str]:
        """Lets the service purge deleted media: those of a project, or all that the caller owns.
        Returns their ids."""
        request = media_service_pb2.EmptyTrashRequest(project_id=project_id)
        while True:
            response = self._transport.run(calls.call("EmptyTrash", request, self._backoff))
            for media_id in response.media_ids:
                yield media_id
            # Those that others are changing at the moment are left.
            if not (response.more and response.media_ids):
                return

    def versions(self, media_id: str) -> Iterator[media_pb2.MediaVersion]:
        """The versions of a media, newest first, fetched page by page as they are consumed."""
        request = media_service_pb2.ListVersionsRequest(media_id=media_id)
        while True:
            response = self._transport.run(calls.call("ListVersions", request, self._backoff))
            for version in response.versions:
                yield version
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def version(self, media_id: str, version: int) -> media_pb2.MediaVersion:
        """One version of a media."""
        request = media_service_pb2.GetVersionRequest(media_id=media_id, version=version)
        found: media_pb2.MediaVersion = self._transport.run(
            calls.call("GetVersion", request, self._backoff)
        )
        return found

    def restore_version(
        self, media_id: str, version: int, *, etag: str = ""
    ) -> media_pb2.MediaVersion:
        """Adds a version with the bytes of an earlier one. It becomes the current one when it is
        READY."""
        request = media_service_pb2.RestoreVersionRequest(
            media_id=media_id, version=version, etag=etag
        )
        added: media_pb2.MediaVersion = self._transport.run(
            calls.call("RestoreVersion", request, self._backoff)
        )
        return added

    def delete_version(self, media_id: str, version: int) -> None:
        """Removes a version that is not current, and its bytes, for good."""
        request = media_service_pb2.DeleteVersionRequest(media_id=media_id, version=version)
        self._transport.run(
            calls.once("DeleteVersion", request, "VERSION_NOT_FOUND", self._backoff)
        )

    def watch_upload(self, upload_id: str) -> Iterator[upload_pb2.Upload]:
        """The upload now and after every change, until it is in a final state."""
        request = upload_service_pb2.WatchUploadRequest(upload_id=upload_id)
        for seen in self._watch("WatchUpload", request, OPEN):
            yield seen

    def uploads(
        self,
        *,
        state: upload_pb2.Upload.State.ValueType = upload_pb2.Upload.STATE_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[upload_pb2.Upload]:
        """The caller's uploads, newest first, fetched page by page as they are consumed."""
        request = upload_service_pb2.ListUploadsRequest(state=state, page_size=page_size)
        while True:
            response = self._transport.run(calls.call("ListUploads", request, self._backoff))
            for found in response.uploads:
                yield found
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def abort_upload(self, upload_id: str) -> upload_pb2.Upload:
        """Ends an upload that has not ended. Its bytes are deleted."""
        request = upload_service_pb2.AbortUploadRequest(upload_id=upload_id)
        aborted: upload_pb2.Upload = self._transport.run(
            calls.call("AbortUpload", request, self._backoff)
        )
        return aborted

    def _watch(self, method: str, request: Message, unfinished: Container[int]) -> Iterator[Any]:
        """What is watched, again after each break, until it is in a final state."""
        retries = Retries(self._backoff)
        while True:
            try:
                for seen in self._transport.watch(method, request):
                    retries.progressed()
                    yield seen
                    if seen.state not in unfinished:
                        return
                raise MediaServiceError(grpc.StatusCode.UNAVAILABLE, "", "the watch has ended")
            except MediaServiceError as error:
                if not is_transient(error):
                    raise
                pause = retries.pause(error)
            time.sleep(pause)

    def process(
        self,
        media_id: str,
        ops: str,
        *,
        rendition: str = "",
        priority: job_pb2.Job.Priority.ValueType = job_pb2.Job.NORMAL,
    ) -> job_pb2.Job:
        """Accepts a job that makes a rendition by a pipeline in the short text form, such as
        "resize:800x600,compress:85"; without a name, the rendition gets one."""
        request = processing_service_pb2.ProcessMediaRequest(
            media_id=media_id,
            ops=ops,
            rendition_name=rendition,
            priority=priority,
            request_id=str(uuid.uuid4()),
        )
        job: job_pb2.Job = self._transport.run(calls.call("ProcessMedia", request, self._backoff))
        return job

    def reprocess(self, media_id: str) -> job_pb2.Job:
        """Starts a job that inspects a media again and renders its standard renditions anew, also
        those that were deleted. It starts a job for each preset when it ends."""
        request = processing_service_pb2.ReprocessMediaRequest(
            media_id=media_id, request_id=str(uuid.uuid4())
        )
        job: job_pb2.Job = self._transport.run(calls.call("ReprocessMedia", request, self._backoff))
        return job

    def job(self, job_id: str) -> job_pb2.Job:
        """A job as it is now."""
        return self._transport.run(calls.job("GetJob", job_id, self._backoff))

    def jobs(
        self,
        *,
        media_id: str = "",
        state: job_pb2.Job.State.ValueType = job_pb2.Job.STATE_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[job_pb2.Job]:
        """Jobs on the caller's media, newest first, fetched page by page as they are consumed."""
        request = job_service_pb2.ListJobsRequest(
            media_id=media_id, state=state, page_size=page_size
        )
        while True:
            response = self._transport.run(calls.call("ListJobs", request, self._backoff))
            for job in response.jobs:
                yield job
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def media_access(
        self,
        media_id: str,
        *,
        category: AuditEntry.Category.ValueType = AuditEntry.CATEGORY_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[AuditEntry]:
        """What was done to a media, newest first, fetched page by page as it is consumed."""
        request = audit_service_pb2.ListMediaAccessRequest(
            media_id=media_id, category=category, page_size=page_size
        )
        while True:
            response = self._transport.run(calls.call("ListMediaAccess", request, self._backoff))
            for entry in response.entries:
                yield entry
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def organization_access(
        self,
        organization_id: str,
        *,
        category: AuditEntry.Category.ValueType = AuditEntry.CATEGORY_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[AuditEntry]:
        """What was done in an organization, newest first, fetched as it is consumed."""
        request = audit_service_pb2.ListOrganizationAccessRequest(
            organization_id=organization_id, category=category, page_size=page_size
        )
        while True:
            response = self._transport.run(
                calls.call("ListOrganizationAccess", request, self._backoff)
            )
            for entry in response.entries:
                yield entry
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def activity(
        self,
        *,
        user_id: str = "",
        category: AuditEntry.Category.ValueType = AuditEntry.CATEGORY_UNSPECIFIED,
        page_size: int = 0,
    ) -> Iterator[AuditEntry]:
        """What the caller did, or for administrators, what a user did, newest first, fetched page
        by page as it is consumed."""
        request = audit_service_pb2.ListActivityRequest(
            user_id=user_id, category=category, page_size=page_size
        )
        while True:
            response = self._transport.run(calls.call("ListActivity", request, self._backoff))
            for entry in response.entries:
                yield entry
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def analytics(self, media_id: str, *, days: int = 0) -> audit_service_pb2.Analytics:
        """How often a media was viewed and downloaded in the last days; 0 means 30."""
        request = audit_service_pb2.GetAnalyticsRequest(media_id=media_id, days=days)
        found: audit_service_pb2.Analytics = self._transport.run(
            calls.call("GetAnalytics", request, self._backoff)
        )
        return found

    def project_analytics(self, project_id: str, *, days: int = 0) -> audit_service_pb2.Analytics:
        """As `analytics`, of all media of a project."""
        request = audit_service_pb2.GetProjectAnalyticsRequest(project_id=project_id, days=days)
        found: audit_service_pb2.Analytics = self._transport.run(
            calls.call("GetProjectAnalytics", request, self._backoff)
        )
        return found

    def organization_analytics(
        self, organization_id: str, *, days: int = 0
    ) -> audit_service_pb2.Analytics:
        """As `analytics`, of all media of an organization."""
        request = audit_service_pb2.GetOrganizationAnalyticsRequest(
            organization_id=organization_id, days=days
        )
        found: audit_service_pb2.Analytics = self._transport.run(
            calls.call("GetOrganizationAnalytics", request, self._backoff)
        )
        return found

    def export_audit(
        self,
        resource: str = "",
        *,
        user_id: str = "",
        csv: bool = False,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> Iterator[bytes]:
        """The entries of the audit log of "media:ID", "project:ID" or "organization:ID", as pieces
        of NDJSON or CSV. Without a resource, what a user did; empty: the caller."""
        method, request = calls.audit_export(resource, user_id, csv, start_time, end_time)
        for piece in self._transport.watch(method, request):
            yield piece.data

    def watch_events(
        self, cursor: str = "", *, types: Sequence[str] = (), project_id: str = ""
    ) -> Iterator[event_service_pb2.WatchEventsResponse]:
        """The events that the caller may see, from a cursor on; empty: from now on. Goes on after
        an interruption without losing any. Responses without an event say how far the watch is.
        `types`: only these, such as "media.created" or "media.*"."""
        request = event_service_pb2.WatchEventsRequest(
            cursor=cursor, types=types, project_id=project_id
        )
        for seen in self._events("WatchEvents", request):
            yield seen

    def watch_collection(
        self, collection_id: str, cursor: str = ""
    ) -> Iterator[event_service_pb2.WatchEventsResponse]:
        """The events about a collection and those of its media that the caller may see; otherwise
        as `watch_events`."""
        request = event_service_pb2.WatchCollectionRequest(
            collection_id=collection_id, cursor=cursor
        )
        for seen in self._events("WatchCollection", request):
            yield seen

    def _events(
        self,
        method: str,
        request: event_service_pb2.WatchEventsRequest | event_service_pb2.WatchCollectionRequest,
    ) -> Iterator[event_service_pb2.WatchEventsResponse]:
        """Goes on at the newest cursor after an interruption."""
        retries = Retries(self._backoff)
        while True:
            try:
                for seen in self._transport.watch(method, request):
                    retries.progressed()
                    request.cursor = seen.cursor
                    yield seen
            except MediaServiceError as error:
                if not is_transient(error):
                    raise
                time.sleep(retries.pause(error))

    def watch_job(self, job_id: str) -> Iterator[job_pb2.Job]:
        """The job now and after every change, until it has ended."""
        request = job_service_pb2.WatchJobRequest(job_id=job_id)
        for seen in self._watch("WatchJob", request, UNFINISHED):
            yield seen

    def cancel_job(self, job_id: str) -> job_pb2.Job:
        """Ends a job, also one that runs."""
        return self._transport.run(calls.job("CancelJob", job_id, self._backoff))

    def retry_job(self, job_id: str) -> job_pb2.Job:
        """Queues a job again that failed or was cancelled."""
        return self._transport.run(calls.retry_job(job_id, self._backoff))

    def create_service_account(self, display_name: str) -> credentials_service_pb2.ServiceAccount:
        """A new caller that is a program."""
        request = credentials_service_pb2.CreateServiceAccountRequest(
            display_name=display_name, request_id=str(uuid.uuid4())
        )
        account: credentials_service_pb2.ServiceAccount = self._transport.run(
            calls.call("CreateServiceAccount", request, self._backoff)
        )
        return account

    def service_accounts(self) -> Iterator[credentials_service_pb2.ServiceAccount]:
        """The service accounts that the caller manages, newest first."""
        request = credentials_service_pb2.ListServiceAccountsRequest()
        while True:
            response = self._transport.run(
                calls.call("ListServiceAccounts", request, self._backoff)
            )
            for account in response.service_accounts:
                yield account
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_service_account(
        self, service_account_id: str
    ) -> credentials_service_pb2.ServiceAccount:
        """Deletes a service account and ends its API keys. Its media stay."""
        request = credentials_service_pb2.DeleteServiceAccountRequest(
            service_account_id=service_account_id
        )
        account: credentials_service_pb2.ServiceAccount = self._transport.run(
            calls.call("DeleteServiceAccount", request, self._backoff)
        )
        return account

    def create_api_key(
        self,
        service_account_id: str,
        *,
        display_name: str = "",
        scopes: Iterable[str] = (),
        expire_time: datetime | None = None,
    ) -> credentials_service_pb2.CreateApiKeyResponse:
        """A new `key` of a service account, which cannot be shown again, and its `api_key`. Without
        `scopes`, it has every permission of the account."""
        request = credentials_service_pb2.CreateApiKeyRequest(
            service_account_id=service_account_id,
            display_name=display_name,
            scopes=scopes,
        )
        if expire_time is not None:
            request.expire_time.FromDatetime(expire_time)
        while True:
            request.request_id = str(uuid.uuid4())
            created: credentials_service_pb2.CreateApiKeyResponse = self._transport.run(
                calls.call("CreateApiKey", request, self._backoff)
            )
            if created.key:
                return created
            # The response that had the key was lost.
            self.revoke_api_key(created.api_key.api_key_id)

    def api_keys(
        self, *, service_account_id: str = "", prefix: str = ""
    ) -> Iterator[credentials_service_pb2.ApiKey]:
        """The API keys of the service accounts that the caller manages, newest first."""
        request = credentials_service_pb2.ListApiKeysRequest(
            service_account_id=service_account_id, prefix=prefix
        )
        while True:
            response = self._transport.run(calls.call("ListApiKeys", request, self._backoff))
            for api_key in response.api_keys:
                yield api_key
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def revoke_api_key(self, api_key_id: str) -> credentials_service_pb2.ApiKey:
        """Ends an API key at once."""
        request = credentials_service_pb2.RevokeApiKeyRequest(api_key_id=api_key_id)
        revoked: credentials_service_pb2.ApiKey = self._transport.run(
            calls.call("RevokeApiKey", request, self._backoff)
        )
        return revoked

    def create_organization(
        self, organization_id: str, *, display_name: str = "", issuer: str = ""
    ) -> access_service_pb2.Organization:
        """A new organization, which only administrators may create."""
        request = access_service_pb2.CreateOrganizationRequest(
            organization_id=organization_id, display_name=display_name, issuer=issuer
        )
        created: access_service_pb2.Organization = self._transport.run(
            calls.call("CreateOrganization", request, self._backoff)
        )
        return created

    def organizations(self) -> Iterator[access_service_pb2.Organization]:
        """The organizations that the caller belongs to, by id."""
        request = access_service_pb2.ListOrganizationsRequest()
        while True:
            response = self._transport.run(calls.call("ListOrganizations", request, self._backoff))
            for organization in response.organizations:
                yield organization
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def update_organization(
        self,
        organization_id: str,
        *,
        display_name: str | None = None,
        issuer: str | None = None,
    ) -> access_service_pb2.Organization:
        """Renames an organization, or binds it to another issuer. None: as before."""
        request = access_service_pb2.UpdateOrganizationRequest(
            organization_id=organization_id, display_name=display_name, issuer=issuer
        )
        changed: access_service_pb2.Organization = self._transport.run(
            calls.call("UpdateOrganization", request, self._backoff)
        )
        return changed

    def delete_organization(self, organization_id: str) -> None:
        """Deletes an organization in which nothing is left. Its id cannot be used again."""
        request = access_service_pb2.DeleteOrganizationRequest(organization_id=organization_id)
        self._transport.run(calls.call("DeleteOrganization", request, self._backoff))

    def create_project(
        self, display_name: str, *, owner: media_pb2.Owner | None = None
    ) -> access_service_pb2.Project:
        """A new project of the caller, or of an `owner` for whom the caller acts."""
        request = access_service_pb2.CreateProjectRequest(display_name=display_name, owner=owner)
        created: access_service_pb2.Project = self._transport.run(
            calls.call("CreateProject", request, self._backoff)
        )
        return created

    def projects(self, *, organization_id: str = "") -> Iterator[access_service_pb2.Project]:
        """The projects on which the caller has a role, newest first."""
        request = access_service_pb2.ListProjectsRequest(organization_id=organization_id)
        while True:
            response = self._transport.run(calls.call("ListProjects", request, self._backoff))
            for project in response.projects:
                yield project
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def project(self, project_id: str) -> access_service_pb2.Project:
        """A project."""
        request = access_service_pb2.GetProjectRequest(project_id=project_id)
        found: access_service_pb2.Project = self._transport.run(
            calls.call("GetProject", request, self._backoff)
        )
        return found

    def update_project(self, project_id: str, *, display_name: str) -> access_service_pb2.Project:
        """Renames a project."""
        request = access_service_pb2.UpdateProjectRequest(
            project_id=project_id, display_name=display_name
        )
        changed: access_service_pb2.Project = self._transport.run(
            calls.call("UpdateProject", request, self._backoff)
        )
        return changed

    def transfer_project(
        self, project_id: str, owner: media_pb2.Owner
    ) -> access_service_pb2.Project:
        """Gives a project to another owner in the same organization."""
        request = access_service_pb2.TransferProjectRequest(project_id=project_id, owner=owner)
        changed: access_service_pb2.Project = self._transport.run(
            calls.call("TransferProject", request, self._backoff)
        )
        return changed

    def delete_project(self, project_id: str) -> None:
        """Deletes an empty project and the grants on it."""
        request = access_service_pb2.DeleteProjectRequest(project_id=project_id)
        self._transport.run(calls.call("DeleteProject", request, self._backoff))

    def transfer(
        self,
        media_id: str,
        *,
        owner: media_pb2.Owner | None = None,
        project_id: str | None = None,
    ) -> media_pb2.Media:
        """Gives a media to another owner or to another project, "" for none, in the same
        organization. None: as before."""
        request = access_service_pb2.TransferMediaRequest(
            media_id=media_id, owner=owner, project_id=project_id
        )
        media: media_pb2.Media = self._transport.run(
            calls.call("TransferMedia", request, self._backoff)
        )
        return media

    def copy(
        self,
        media_id: str,
        *,
        owner: media_pb2.Owner | None = None,
        project_id: str | None = None,
    ) -> media_pb2.Media:
        """A new media with the current file of another one, in a project, or "" for none. `owner`
        None: the caller. `project_id` None: the project of the other media."""
        request = media_service_pb2.CopyMediaRequest(
            media_id=media_id, owner=owner, project_id=project_id, request_id=str(uuid.uuid4())
        )
        media: media_pb2.Media = self._transport.run(
            calls.call("CopyMedia", request, self._backoff)
        )
        return media

    def duplicates(self, *, project_id: str = "") -> Iterator[duplicate_service_pb2.DuplicateGroup]:
        """Groups of duplicates, the newest first, fetched page by page as they are consumed."""
        request = duplicate_service_pb2.ListDuplicatesRequest(project_id=project_id)
        while True:
            response = self._transport.run(calls.call("ListDuplicates", request, self._backoff))
            for group in response.groups:
                yield group
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def similar(
        self, media_id: str, *, max_media: int = 0
    ) -> Sequence[duplicate_service_pb2.SimilarMedia]:
        """The duplicates of a media, the most similar first."""
        request = duplicate_service_pb2.FindSimilarMediaRequest(
            media_id=media_id, max_media=max_media
        )
        found: duplicate_service_pb2.FindSimilarMediaResponse = self._transport.run(
            calls.call("FindSimilarMedia", request, self._backoff)
        )
        return found.similar

    def decide_duplicates(
        self,
        media_id: str,
        other_ids: Iterable[str],
        decision: "duplicate_service_pb2.DecideDuplicatesRequest.Decision.ValueType",
    ) -> None:
        """Remembers that a media is no duplicate of others, or the one to keep of them."""
        request = duplicate_service_pb2.DecideDuplicatesRequest(
            media_id=media_id, other_ids=other_ids, decision=decision
        )
        self._transport.run(calls.call("DecideDuplicates", request, self._backoff))

    def merge(
        self, media_ids: Iterable[str], *, keep_media_id: str = "", validate_only: bool = False
    ) -> duplicate_service_pb2.MergeMediaResponse:
        """Merges media into one of them, and deletes the others."""
        request = duplicate_service_pb2.MergeMediaRequest(
            media_ids=media_ids, keep_media_id=keep_media_id, validate_only=validate_only
        )
        merged: duplicate_service_pb2.MergeMediaResponse = self._transport.run(
            calls.call("MergeMedia", request, self._backoff)
        )
        return merged

    def batch_get(
        self, media_ids: Sequence[str], *, full: bool = False
    ) -> Iterator[batch_service_pb2.BatchGetMediaResponse.Result]:
        """Several media, or why they cannot be read, in the order of the ids, fetched call by call
        as they are consumed."""
        view = media_pb2.Media.FULL if full else media_pb2.Media.BASIC
        rest = list(dict.fromkeys(media_ids))
        while rest:
            request = batch_service_pb2.BatchGetMediaRequest(media_ids=rest[:1000], view=view)
            response = self._transport.run(calls.call("BatchGetMedia", request, self._backoff))
            for result in response.results:
                yield result
            rest = rest[len(response.results) :]

    def batch_tag(
        self,
        media_ids: Iterable[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        atomic: bool = False,
        validate_only: bool = False,
    ) -> batch_service_pb2.BatchTagMediaResponse:
        """Adds tags to up to 1000 media, or to those that match a filter, and removes others. If a
        filter selects more than 1000, the answer of a batch has a `job` that does it."""
        request = batch_service_pb2.BatchTagMediaRequest(
            media_ids=media_ids,
            filter=filter,
            add_tags=add,
            remove_tags=remove,
            atomic=atomic,
            validate_only=validate_only,
        )
        done: batch_service_pb2.BatchTagMediaResponse = self._transport.run(
            calls.call("BatchTagMedia", request, self._backoff)
        )
        return done

    def batch_update(
        self,
        media: media_pb2.Media,
        paths: Iterable[str] = (),
        *,
        media_ids: Iterable[str] = (),
        filter: str = "",  # noqa: A002 - the contract's word
        atomic: bool = False,
        validate_only: bool = False,
    ) -> batch_service_pb2.BatchUpdateMediaResponse:
        """Gives the fields `paths` of up to 1000 media, or of those that match a filter, the values
        that they have in `media`; all that are set there if `paths` is empty."""
        request = batch_service_pb2.BatchUpdateMediaRequest(
            media_ids=media_ids,
            filter=filter,
            media=media,
            update_mask=FieldMask(paths=paths),
            atomic=atomic,
            validate_only=validate_only,
        )
        done: batch_service_pb2.BatchUpdateMediaResponse = self._transport.run(
            calls.call("BatchUpdateMedia", request, self._backoff)
        )
        return done

    def batch_move(
        self,
        media_ids: Iterable[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        owner: media_pb2.Owner | None = None,
        project_id: str | None = None,
        atomic: bool = False,
        validate_only: bool = False,
    ) -> batch_service_pb2.BatchMoveMediaResponse:
        """As `transfer`, of up to 1000 media, or of those that match a filter."""
        request = batch_service_pb2.BatchMoveMediaRequest(
            media_ids=media_ids,
            filter=filter,
            owner=owner,
            project_id=project_id,
            atomic=atomic,
            validate_only=validate_only,
        )
        done: batch_service_pb2.BatchMoveMediaResponse = self._transport.run(
            calls.call("BatchMoveMedia", request, self._backoff)
        )
        return done

    def batch_delete(
        self,
        media_ids: Iterable[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        atomic: bool = False,
        validate_only: bool = False,
    ) -> batch_service_pb2.BatchDeleteMediaResponse:
        """As `delete`, of up to 1000 media, or of those that match a filter."""
        request = batch_service_pb2.BatchDeleteMediaRequest(
            media_ids=media_ids, filter=filter, atomic=atomic, validate_only=validate_only
        )
        done: batch_service_pb2.BatchDeleteMediaResponse = self._transport.run(
            calls.call("BatchDeleteMedia", request, self._backoff)
        )
        return done

    def batch_process(
        self,
        ops: str,
        media_ids: Iterable[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        rendition: str = "",
        priority: job_pb2.Job.Priority.ValueType = job_pb2.Job.NORMAL,
        atomic: bool = False,
        validate_only: bool = False,
    ) -> batch_service_pb2.BatchProcessSelectedMediaResponse:
        """Starts a job for each of up to 1000 media, or of those that match a filter, that renders
        a rendition with the pipeline `ops`."""
        request = batch_service_pb2.BatchProcessSelectedMediaRequest(
            media_ids=media_ids,
            filter=filter,
            ops=ops,
            rendition_name=rendition,
            priority=priority,
            atomic=atomic,
            validate_only=validate_only,
        )
        done: batch_service_pb2.BatchProcessSelectedMediaResponse = self._transport.run(
            calls.call("BatchProcessSelectedMedia", request, self._backoff)
        )
        return done

    def create_collection(
        self,
        title: str,
        *,
        description: str = "",
        parent_id: str = "",
        project_id: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
    ) -> collection_service_pb2.Collection:
        """A new collection; a smart one if there is a filter."""
        request = collection_service_pb2.CreateCollectionRequest(
            title=title,
            description=description,
            parent_id=parent_id,
            project_id=project_id,
            filter=filter,
        )
        created: collection_service_pb2.Collection = self._transport.run(
            calls.call("CreateCollection", request, self._backoff)
        )
        return created

    def collection(self, collection_id: str) -> collection_service_pb2.Collection:
        """A collection."""
        request = collection_service_pb2.GetCollectionRequest(collection_id=collection_id)
        found: collection_service_pb2.Collection = self._transport.run(
            calls.call("GetCollection", request, self._backoff)
        )
        return found

    def collections(
        self, *, parent_id: str = "", project_id: str = ""
    ) -> Iterator[collection_service_pb2.Collection]:
        """The collections on which the caller has a role, newest first."""
        request = collection_service_pb2.ListCollectionsRequest(
            parent_id=parent_id, project_id=project_id
        )
        while True:
            step = calls.call("ListCollections", request, self._backoff)
            response = self._transport.run(step)
            for found in response.collections:
                yield found
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def update_collection(
        self, collection: collection_service_pb2.Collection, paths: Iterable[str] = ()
    ) -> collection_service_pb2.Collection:
        """Changes the fields `paths` of a collection, or all that are set if it is empty."""
        request = collection_service_pb2.UpdateCollectionRequest(
            collection=collection, update_mask=FieldMask(paths=paths)
        )
        changed: collection_service_pb2.Collection = self._transport.run(
            calls.call("UpdateCollection", request, self._backoff)
        )
        return changed

    def transfer_collection(
        self,
        collection_id: str,
        *,
        owner: media_pb2.Owner | None = None,
        project_id: str | None = None,
    ) -> collection_service_pb2.Collection:
        """Gives a collection, with those in it, to another owner or to another project, "" for
        none. None: as before."""
        request = collection_service_pb2.TransferCollectionRequest(
            collection_id=collection_id, owner=owner, project_id=project_id
        )
        changed: collection_service_pb2.Collection = self._transport.run(
            calls.call("TransferCollection", request, self._backoff)
        )
        return changed

    def delete_collection(self, collection_id: str) -> None:
        """Deletes a collection. Its media stay."""
        request = collection_service_pb2.DeleteCollectionRequest(collection_id=collection_id)
        self._transport.run(calls.call("DeleteCollection", request, self._backoff))

    def add_to_collection(
        self, collection_id: str, media_ids: Iterable[str], *, before: str = ""
    ) -> collection_service_pb2.Collection:
        """Puts up to 1000 media into a collection, or moves them in it: before another one, or to
        the end."""
        request = collection_service_pb2.AddCollectionMediaRequest(
            collection_id=collection_id, media_ids=media_ids, before_media_id=before
        )
        changed: collection_service_pb2.Collection = self._transport.run(
            calls.call("AddCollectionMedia", request, self._backoff)
        )
        return changed

    def remove_from_collection(
        self, collection_id: str, media_ids: Iterable[str]
    ) -> collection_service_pb2.Collection:
        """Takes up to 1000 media out of a collection."""
        request = collection_service_pb2.RemoveCollectionMediaRequest(
            collection_id=collection_id, media_ids=media_ids
        )
        changed: collection_service_pb2.Collection = self._transport.run(
            calls.call("RemoveCollectionMedia", request, self._backoff)
        )
        return changed

    def collection_media(self, collection_id: str) -> Iterator[media_pb2.Media]:
        """The media of a collection that the caller may see, in its order, fetched page by page as
        they are consumed."""
        request = collection_service_pb2.ListCollectionMediaRequest(collection_id=collection_id)
        while True:
            step = calls.call("ListCollectionMedia", request, self._backoff)
            response = self._transport.run(step)
            for media in response.media:
                yield media
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def create_group(self, organization_id: str, display_name: str) -> access_service_pb2.Group:
        """A new group of users of an organization."""
        request = access_service_pb2.CreateGroupRequest(
            organization_id=organization_id, display_name=display_name
        )
        created: access_service_pb2.Group = self._transport.run(
            calls.call("CreateGroup", request, self._backoff)
        )
        return created

    def groups(self, organization_id: str) -> Iterator[access_service_pb2.Group]:
        """The groups of an organization, newest first."""
        request = access_service_pb2.ListGroupsRequest(organization_id=organization_id)
        while True:
            response = self._transport.run(calls.call("ListGroups", request, self._backoff))
            for group in response.groups:
                yield group
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def delete_group(self, group_id: str) -> None:
        """Deletes a group, and with it what was granted to it."""
        request = access_service_pb2.DeleteGroupRequest(group_id=group_id)
        self._transport.run(calls.call("DeleteGroup", request, self._backoff))

    def group_members(self, group_id: str) -> Iterator[access_service_pb2.GroupMember]:
        """The members of a group, by name."""
        request = access_service_pb2.ListGroupMembersRequest(group_id=group_id)
        while True:
            response = self._transport.run(calls.call("ListGroupMembers", request, self._backoff))
            for member in response.members:
                yield member
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def add_group_member(self, group_id: str, member: str) -> access_service_pb2.Group:
        """Adds a member such as "user:ann" to a group."""
        request = access_service_pb2.AddGroupMemberRequest(group_id=group_id, member=member)
        group: access_service_pb2.Group = self._transport.run(
            calls.call("AddGroupMember", request, self._backoff)
        )
        return group

    def remove_group_member(self, group_id: str, member: str) -> access_service_pb2.Group:
        """Removes a member from a group."""
        request = access_service_pb2.RemoveGroupMemberRequest(group_id=group_id, member=member)
        group: access_service_pb2.Group = self._transport.run(
            calls.call("RemoveGroupMember", request, self._backoff)
        )
        return group

    def grant(
        self,
        resource: str,
        grantee: str,
        role: "rule_pb2.Rule.Role.ValueType",
        *,
        expire_time: datetime | None = None,
    ) -> access_service_pb2.Grant:
        """Grants a role on a resource such as "project:ID" to a grantee such as "user:ann"."""
        request = access_service_pb2.SetGrantRequest(resource=resource, grantee=grantee, role=role)
        if expire_time is not None:
            request.expire_time.FromDatetime(expire_time)
        granted: access_service_pb2.Grant = self._transport.run(
            calls.call("SetGrant", request, self._backoff)
        )
        return granted

    def revoke(self, resource: str, grantee: str) -> None:
        """Takes the role of a grantee on a resource back, with effect on every later call."""
        request = access_service_pb2.DeleteGrantRequest(resource=resource, grantee=grantee)
        self._transport.run(calls.call("DeleteGrant", request, self._backoff))

    def grants(self, resource: str) -> Iterator[access_service_pb2.Grant]:
        """The grants on a resource, by grantee."""
        request = access_service_pb2.ListGrantsRequest(resource=resource)
        while True:
            response = self._transport.run(calls.call("ListGrants", request, self._backoff))
            for granted in response.grants:
                yield granted
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def access(self, resource: str) -> access_service_pb2.Access:
        """The highest role of the caller on a resource such as "media:ID"."""
        request = access_service_pb2.GetAccessRequest(resource=resource)
        found: access_service_pb2.Access = self._transport.run(
            calls.call("GetAccess", request, self._backoff)
        )
        return found

    def policy(self, resource: str) -> policy_service_pb2.ResourcePolicy:
        """The policy of "organization:ID" or "project:ID", and the one that it inherits."""
        request = policy_service_pb2.GetPolicyRequest(resource=resource)
        found: policy_service_pb2.ResourcePolicy = self._transport.run(
            calls.call("GetPolicy", request, self._backoff)
        )
        return found

    def set_policy(
        self, resource: str, policy: policy_service_pb2.Policy
    ) -> policy_service_pb2.ResourcePolicy:
        """Sets the policy of a resource, in place of the earlier one. An empty one removes it."""
        request = policy_service_pb2.SetPolicyRequest(resource=resource, policy=policy)
        changed: policy_service_pb2.ResourcePolicy = self._transport.run(
            calls.call("SetPolicy", request, self._backoff)
        )
        return changed

    def quota(self, account: str) -> quota_service_pb2.Quota:
        """The limits and the use of an account: "project:ID", "organization:ID" or
        "owner:ORGANIZATION/TYPE:ID"."""
        request = quota_service_pb2.GetQuotaRequest(account=account)
        found: quota_service_pb2.Quota = self._transport.run(
            calls.call("GetQuota", request, self._backoff)
        )
        return found

    def set_quota(
        self, account: str, limits: Iterable[quota_service_pb2.QuotaLimit]
    ) -> quota_service_pb2.Quota:
        """Sets the limits of an account, in place of all earlier ones. None: it has no quota."""
        request = quota_service_pb2.SetQuotaRequest(account=account, limits=limits)
        changed: quota_service_pb2.Quota = self._transport.run(
            calls.call("SetQuota", request, self._backoff)
        )
        return changed

    def recalculate_quota(self, account: str) -> quota_service_pb2.RecalculateQuotaResponse:
        """Counts what an account uses again, and corrects its ledger."""
        request = quota_service_pb2.RecalculateQuotaRequest(account=account)
        found: quota_service_pb2.RecalculateQuotaResponse = self._transport.run(
            calls.call("RecalculateQuota", request, self._backoff)
        )
        return found

    def usage(self, account: str, *, days: int = 30) -> quota_service_pb2.Usage:
        """What an account stores, by kind and project, and by day for the last days."""
        request = quota_service_pb2.GetUsageRequest(account=account, days=days)
        found: quota_service_pb2.Usage = self._transport.run(
            calls.call("GetUsage", request, self._backoff)
        )
        return found

    def erase_user(self, user_id: str) -> privacy_service_pb2.Erasure:
        """Starts to erase a user, which only administrators may do."""
        request = privacy_service_pb2.EraseUserRequest(user_id=user_id)
        erasure: privacy_service_pb2.Erasure = self._transport.run(
            calls.call("EraseUser", request, self._backoff)
        )
        return erasure

    def erasure(self, erasure_id: str) -> privacy_service_pb2.Erasure:
        """An erasure: how far it is, and its report once it has ended."""
        request = privacy_service_pb2.GetErasureRequest(erasure_id=erasure_id)
        erasure: privacy_service_pb2.Erasure = self._transport.run(
            calls.call("GetErasure", request, self._backoff)
        )
        return erasure

    def export_user(self, user_id: str = "") -> Iterator[bytes]:
        """All that the service keeps of a user, as pieces of NDJSON. Empty: of the caller."""
        request = privacy_service_pb2.ExportUserRequest(user_id=user_id)
        for piece in self._transport.watch("ExportUser", request):
            yield piece.data

    def block_file(
        self,
        resource: str,
        sha256: str = "",
        *,
        perceptual_hash: str = "",
        media_id: str = "",
        note: str = "",
    ) -> policy_service_pb2.BlockedFile:
        """Blocks a file in "service:" or "organization:ID": by its SHA-256, by the perceptual hash
        of an image, or by an image that looks like it. `note`: why."""
        request = policy_service_pb2.BlockFileRequest(
            resource=resource,
            sha256=sha256,
            perceptual_hash=perceptual_hash,
            media_id=media_id,
            note=note,
        )
        blocked: policy_service_pb2.BlockedFile = self._transport.run(
            calls.call("BlockFile", request, self._backoff)
        )
        return blocked

    def unblock_file(self, resource: str, sha256: str = "", *, perceptual_hash: str = "") -> None:
        """Allows a blocked file again."""
        request = policy_service_pb2.UnblockFileRequest(
            resource=resource, sha256=sha256, perceptual_hash=perceptual_hash
        )
        self._transport.run(calls.call("UnblockFile", request, self._backoff))

    def blocked_files(self, resource: str) -> Iterator[policy_service_pb2.BlockedFile]:
        """The blocked files of "service:" or "organization:ID": those by SHA-256, then those by
        perceptual hash."""
        request = policy_service_pb2.ListBlockedFilesRequest(resource=resource)
        while True:
            response = self._transport.run(calls.call("ListBlockedFiles", request, self._backoff))
            for blocked in response.blocked_files:
                yield blocked
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def blocked_media(
        self, resource: str, sha256: str = "", *, perceptual_hash: str = ""
    ) -> Iterator[duplicate_service_pb2.SimilarMedia]:
        """The media of "service:" or "organization:ID" that block_file would refuse now."""
        request = policy_service_pb2.FindBlockedMediaRequest(
            resource=resource, sha256=sha256, perceptual_hash=perceptual_hash
        )
        while True:
            response = self._transport.run(calls.call("FindBlockedMedia", request, self._backoff))
            for found in response.media:
                yield found
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def create_share_link(
        self,
        targets: Iterable[str],
        mode: share_link_service_pb2.ShareLink.Mode.ValueType,
        *,
        display_name: str = "",
        expire_time: datetime | None = None,
        max_uses: int = 0,
        password: str = "",
        max_files: int = 0,
        max_file_size_bytes: int = 0,
    ) -> share_link_service_pb2.CreateShareLinkResponse:
        """The `secret` of a new share link, which cannot be shown again, and its `share_link`.
        `targets`: "media:ID" of each media, or "project:ID". Limits of 0 do not exist; those of
        files are for guests who upload."""
        request = share_link_service_pb2.CreateShareLinkRequest(
            targets=targets,
            mode=mode,
            display_name=display_name,
            max_uses=max_uses,
            password=password,
            max_files=max_files,
            max_file_size_bytes=max_file_size_bytes,
        )
        if expire_time is not None:
            request.expire_time.FromDatetime(expire_time)
        created: share_link_service_pb2.CreateShareLinkResponse = self._transport.run(
            calls.call("CreateShareLink", request, self._backoff)
        )
        return created

    def share_links(self, *, target: str = "") -> Iterator[share_link_service_pb2.ShareLink]:
        """The share links to a target, such as "media:ID", or the caller's own, newest first."""
        request = share_link_service_pb2.ListShareLinksRequest(target=target)
        while True:
            response = self._transport.run(calls.call("ListShareLinks", request, self._backoff))
            for link in response.share_links:
                yield link
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def update_share_link(
        self, share_link_id: str, paths: Iterable[str], **fields: Any
    ) -> share_link_service_pb2.ShareLink:
        """Changes the fields in `paths` of a share link to those in `fields`, or removes them."""
        request = share_link_service_pb2.UpdateShareLinkRequest(
            share_link_id=share_link_id, **fields
        )
        request.update_mask.paths.extend(paths)
        changed: share_link_service_pb2.ShareLink = self._transport.run(
            calls.call("UpdateShareLink", request, self._backoff)
        )
        return changed

    def revoke_share_link(self, share_link_id: str) -> share_link_service_pb2.ShareLink:
        """Ends a share link and its sessions at once."""
        request = share_link_service_pb2.RevokeShareLinkRequest(share_link_id=share_link_id)
        revoked: share_link_service_pb2.ShareLink = self._transport.run(
            calls.call("RevokeShareLink", request, self._backoff)
        )
        return revoked

    def open_share_link(
        self, secret: str, *, password: str = ""
    ) -> share_link_service_pb2.OpenShareLinkResponse:
        """The `session_token` of a share link, which is the `token` of another client."""
        request = share_link_service_pb2.OpenShareLinkRequest(secret=secret, password=password)
        opened: share_link_service_pb2.OpenShareLinkResponse = self._transport.run(
            calls.call("OpenShareLink", request, self._backoff)
        )
        return opened

    def create_webhook(
        self,
        url: str,
        *,
        resource: str = "",
        event_types: Iterable[str] = (),
        project_ids: Iterable[str] = (),
        description: str = "",
    ) -> webhook_service_pb2.CreateWebhookResponse:
        """The `secret` of a new webhook, which cannot be shown again, and its `webhook`.
        `resource`: "project:ID" or "organization:ID"; empty: what the caller owns. Empty types and
        projects: all."""
        request = webhook_service_pb2.CreateWebhookRequest(
            url=url,
            resource=resource,
            event_types=event_types,
            project_ids=project_ids,
            description=description,
        )
        created: webhook_service_pb2.CreateWebhookResponse = self._transport.run(
            calls.call("CreateWebhook", request, self._backoff)
        )
        return created

    def webhook(self, webhook_id: str) -> webhook_service_pb2.Webhook:
        """A webhook, without its secret."""
        request = webhook_service_pb2.GetWebhookRequest(webhook_id=webhook_id)
        found: webhook_service_pb2.Webhook = self._transport.run(
            calls.call("GetWebhook", request, self._backoff)
        )
        return found

    def webhooks(self, *, resource: str = "") -> Iterator[webhook_service_pb2.Webhook]:
        """The webhooks of a resource, or those of what the caller owns, newest first."""
        request = webhook_service_pb2.ListWebhooksRequest(resource=resource)
        while True:
            response = self._transport.run(calls.call("ListWebhooks", request, self._backoff))
            for webhook in response.webhooks:
                yield webhook
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def update_webhook(
        self, webhook_id: str, paths: Iterable[str], **fields: Any
    ) -> webhook_service_pb2.Webhook:
        """Changes the fields in `paths` of a webhook to those in `fields`, or empties them."""
        request = webhook_service_pb2.UpdateWebhookRequest(webhook_id=webhook_id, **fields)
        request.update_mask.paths.extend(paths)
        changed: webhook_service_pb2.Webhook = self._transport.run(
            calls.call("UpdateWebhook", request, self._backoff)
        )
        return changed

    def rotate_webhook_secret(
        self, webhook_id: str, *, ttl: timedelta | None = None
    ) -> webhook_service_pb2.RotateWebhookSecretResponse:
        """The new `secret` of a webhook, which cannot be shown again. The old one signs, too, for
        `ttl`, by default for a day."""
        request = webhook_service_pb2.RotateWebhookSecretRequest(webhook_id=webhook_id)
        if ttl is not None:
            request.ttl.FromTimedelta(ttl)
        rotated: webhook_service_pb2.RotateWebhookSecretResponse = self._transport.run(
            calls.call("RotateWebhookSecret", request, self._backoff)
        )
        return rotated

    def delete_webhook(self, webhook_id: str) -> None:
        """Deletes a webhook and its log."""
        request = webhook_service_pb2.DeleteWebhookRequest(webhook_id=webhook_id)
        self._transport.run(calls.call("DeleteWebhook", request, self._backoff))

    def webhook_deliveries(self, webhook_id: str) -> Iterator[webhook_service_pb2.WebhookDelivery]:
        """The deliveries of a webhook, newest first."""
        request = webhook_service_pb2.ListWebhookDeliveriesRequest(webhook_id=webhook_id)
        while True:
            response = self._transport.run(
                calls.call("ListWebhookDeliveries", request, self._backoff)
            )
            for delivery in response.deliveries:
                yield delivery
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def redeliver_webhook_event(self, webhook_id: str, event_id: str) -> None:
        """Sends an event in the log of a webhook again, even if it has arrived."""
        request = webhook_service_pb2.RedeliverWebhookEventsRequest(
            webhook_id=webhook_id, event_id=event_id
        )
        self._transport.run(calls.call("RedeliverWebhookEvents", request, self._backoff))

    def redeliver_webhook_events(
        self, webhook_id: str, start_time: datetime, *, delivered: bool = False
    ) -> int:
        """Sends all events since a time again that have not arrived; `delivered`: also those that
        have. Returns how many."""
        request = webhook_service_pb2.RedeliverWebhookEventsRequest(
            webhook_id=webhook_id, delivered=delivered
        )
        request.start_time.FromDatetime(start_time)
        sent = 0
        response: webhook_service_pb2.RedeliverWebhookEventsResponse
        while True:
            response = self._transport.run(
                calls.call("RedeliverWebhookEvents", request, self._backoff)
            )
            sent += response.redelivered
            if not response.next_cursor:
                return sent
            request.ClearField("start_time")
            request.cursor = response.next_cursor

    def operations(self) -> Sequence[processing_service_pb2.OperationInfo]:
        """What pipelines can do, with parameters and examples."""
        request = processing_service_pb2.ListOperationsRequest()
        response = self._transport.run(calls.call("ListOperations", request, self._backoff))
        return list(response.operations)
