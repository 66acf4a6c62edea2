"""Permissions, named as in the rules of the contract."""

from enum import StrEnum


class Permission(StrEnum):
    MEDIA_READ = "media.read"
    MEDIA_WRITE = "media.write"
    MEDIA_DELETE = "media.delete"
    MEDIA_PURGE = "media.purge"
    AUDIT_READ = "audit.read"
    UPLOADS_READ = "uploads.read"
    UPLOADS_WRITE = "uploads.write"
    JOBS_READ = "jobs.read"
    JOBS_WRITE = "jobs.write"
    CREDENTIALS_READ = "credentials.read"
    CREDENTIALS_WRITE = "credentials.write"
