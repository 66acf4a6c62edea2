"""Use cases of a person's data: erase it, and export it."""

import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace

from media_service.access.owner import USER, Owner
from media_service.access.policy import decided
from media_service.access.principal import Principal
from media_service.access.report_signer import ReportSigner
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.personal_data import Key, Person, PersonalRows, personal_rows
from media_service.failpoints import failpoint
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.privacy import queries
from media_service.privacy.errors import claim_not_allowed, erasure_not_found
from media_service.privacy.model import Erasure
from media_service.sharing.grants import load
from media_service.sharing.resources import INSTALLATION

log = logging.getLogger(__name__)

EXPORTED_TOGETHER = 200


class PrivacyService:
    def __init__(self, database: Database, signer: ReportSigner) -> None:
        self._database = database
        self._signer = signer

    async def erase(self, principal: Principal, user_id: str) -> Erasure:
        """Starts the erasure of a user, unless there is one that has not ended. Only
        administrators may: what it removes cannot be restored, so a stolen token must not suffice.
        Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        name = f"{USER}:{user_id}"
        async with self._database.transaction() as tx:
            await load(tx, principal, INSTALLATION, Role.OWNER)
            if found := await queries.unfinished(tx, name):
                return found
            erasure_id, pseudonym = new_id(), await tx.person_id(USER, user_id)
            await queries.insert(tx, erasure_id, pseudonym, name)
            await tx.enqueue(NewJob(JobKind.ERASE, erasure_id))
            tx.audit(resource_id=f"{USER}:{pseudonym}")
            created = await queries.get(tx, erasure_id)
            failpoint("erase.start.before")
        failpoint("erase.start.after")
        assert created  # noqa: S101 - it was just inserted
        return created

    async def erasure(self, principal: Principal, erasure_id: str) -> Erasure:
        """Once it has ended, with its report signed, unless that is not the report in the audit
        log. Raises NotFound (ERASURE_NOT_FOUND, RESOURCE_NOT_FOUND)."""
        async with self._database.connection() as db:
            await load(db, principal, INSTALLATION, Role.OWNER)
            found = await queries.get(db, erasure_id)
        if found is None:
            raise erasure_not_found(erasure_id)
        if found.end_time is None or found.signature:
            return found
        if not found.is_recorded:
            log.error("the report of erasure %s is not the one in the audit log", erasure_id)
            return found
        return await self._signed(erasure_id)

    async def _signed(self, erasure_id: str) -> Erasure:
        """Signs a report once: workers end erasures, and have no keys."""
        async with self._database.transaction() as tx:
            found = await queries.lock(tx, erasure_id)
            if found is None:
                raise erasure_not_found(erasure_id)
            if found.signature or not found.is_recorded:  # meanwhile
                return found
            signature, public_key = self._signer.sign(found.report), self._signer.public_key
            await queries.sign(tx, erasure_id, signature, public_key)
            failpoint("erase.sign.before")
        failpoint("erase.sign.after")
        return replace(found, signature=signature, public_key=public_key)

    async def export(self, principal: Principal, user_id: str) -> AsyncGenerator[list[str], None]:
        """All rows that name a user or their service accounts, as lines of JSON, some at a time.
        Without `user_id`, those of the caller. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ORGANIZATION_CLAIM_NOT_ALLOWED) before the first."""
        asked = Owner(USER, user_id) if user_id else replace(principal.owner, org_id="")
        name = f"{asked.type}:{asked.id}"
        async with self._database.transaction() as tx:
            if name == principal.grantee:
                decided()
                # All that a service account has is in its organization.
                if principal.org_id and principal.type == USER:
                    raise claim_not_allowed(principal.org_id)
            else:
                await load(tx, principal, INSTALLATION, Role.OWNER)
            names = [name, *await queries.accounts_of(tx, Person(asked.type, asked.id, [name]))]
            tx.audit(resource_id=f"{asked.type}:{await tx.person_id(asked.type, asked.id)}")
        yield []
        for each in names:
            kind, _, id_ = each.partition(":")
            person = Person(kind, id_, names)
            for rows in personal_rows():
                async for lines in self._lines(rows, person):
                    yield lines

    async def _lines(self, rows: PersonalRows, person: Person) -> AsyncGenerator[list[str], None]:
        async with self._database.connection() as db:
            people = await rows.people(db, person)
        for part in people:
            after: Key | None = None
            while True:
                async with self._database.connection() as db:
                    page, after = await rows.page(db, part, after, EXPORTED_TOGETHER)
                if page:
                    yield [line(rows.table, row) for row in page]
                if after is None:
                    break


def line(table: str, row: str) -> str:
    return f'{{"type":{json.dumps(table)},"data":{row}}}\n'
