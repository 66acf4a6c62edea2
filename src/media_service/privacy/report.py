"""The report of an erasure: a line of JSON, which the service signs.

It says what was erased and that nothing is left, and names nobody. The signature is Ed25519, so
everybody who has the public key can verify it. Workers, which end erasures, have no key: until a
server signs the report, its digest in the audit log shows whether somebody changes it.
"""

import json
from datetime import UTC, datetime, timedelta

from media_service.audit.queries.digests import Digest
from media_service.clock import now
from media_service.db.database import Database
from media_service.privacy import queries
from media_service.privacy.model import Erasure


def report_of(erasure: Erasure, time: datetime, sealed: Digest | None) -> str:
    """`sealed`: the last hour of the audit log that has a digest."""
    counts: dict[str, dict[str, int]] = {}
    for erased in erasure.counts:
        counts.setdefault(erased.table, {})[erased.fate] = erased.count
    content = {
        "erasureId": erasure.erasure_id,
        "pseudonym": erasure.pseudonym,
        "createTime": utc(erasure.create_time),
        "endTime": utc(time),
        "rows": counts,
        "rowsLeft": 0,
        "auditHour": utc(sealed.hour) if sealed else None,
        "auditDigest": sealed.digest.hex() if sealed else None,
    }
    return json.dumps(content, separators=(",", ":"))


async def changed_report(database: Database, keep_audit: timedelta) -> str | None:
    """The first erasure whose report is not the one in the audit log, as far as that goes back."""
    since = now() - keep_audit + timedelta(days=1)  # a day is dropped as a whole
    async with database.connection() as db:
        return await queries.changed_report(db, since)


def utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
