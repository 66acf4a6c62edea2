"""Rows of the table as records."""

from collections.abc import Mapping
from typing import Any

from psycopg.sql import SQL

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.errors import Fault
from media_service.jobs.model import (
    BatchCounts,
    Claim,
    Job,
    JobKind,
    JobState,
    Priority,
    Refusal,
)

# What `claim_record` reads.
CLAIM_COLUMNS = SQL("""
    job_id::text as job_id, kind, subject_id::text as subject_id, attempt, fence, org_id,
    turn_type as owner_type, turn_id as owner_id, pipeline, rendition,
    parent_id::text as parent_id, subjob_number, heavy, lost_leases, outages, anew, version
""")


def owner_of(row: Mapping[str, Any]) -> Owner | None:
    if row["owner_type"] is None:
        return None
    return Owner(row["owner_type"], row["owner_id"], row["org_id"])


def fault_of(row: Mapping[str, Any]) -> Fault:
    return Fault(row["error_reason"], row["error_message"], row["error_metadata"] or {})


def job_record(row: Mapping[str, Any]) -> Job:
    fault = None
    if row["error_reason"]:
        fault = fault_of(row)
    kind = JobKind(row["kind"])
    return Job(
        job_id=row["job_id"],
        kind=kind,
        media_id="" if kind is JobKind.BATCH else row["subject_id"],
        owner=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        actor=Owner(row["actor_type"], row["actor_id"]) if row["actor_id"] else None,
        state=JobState(row["state"]),
        priority=Priority(row["priority"]),
        stage=row["stage"],
        progress_percent=row["progress_percent"],
        attempt=row["attempt"],
        fault=fault,
        pipeline=row["pipeline"],
        rendition=row["rendition"],
        project_id=row["project_id"],
        create_time=row["create_time"],
        start_time=row["start_time"],
        update_time=row["update_time"],
        end_time=row["end_time"],
        role=Role(row["role"]),
        batch=batch_counts(row["batch"]) if row["batch"] else None,
    )


def batch_counts(stored: Mapping[str, Any]) -> BatchCounts:
    refusals = [
        Refusal(each["media_id"], Fault(each["reason"], each["message"], each["metadata"]))
        for each in stored.get("errors", ())
    ]
    return BatchCounts(
        stored["selected"], stored["processed"], stored["changed"], stored["failed"], refusals
    )


def claim_record(row: Mapping[str, Any]) -> Claim:
    return Claim(
        row["job_id"],
        JobKind(row["kind"]),
        row["subject_id"],
        row["attempt"],
        row["fence"],
        owner_of(row),
        row["pipeline"],
        row["rendition"],
        row["parent_id"],
        row["subjob_number"],
        row["heavy"],
        row["lost_leases"],
        row["outages"],
        row["anew"],
        row["version"],
    )
