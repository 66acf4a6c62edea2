"""Collections: ordered selections of media."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from media_service.access.owner import Owner
from media_service.access.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """`path`: the ids of the collections around it, from the outermost, and its own. `parent_id`
    and `cover_media_id` are empty if there is none, or if the caller for whom it was loaded may not
    see it. `filter`: of a smart one. `role`: of the caller for whom it was loaded."""

    collection_id: str
    owner: Owner
    project_id: str
    parent_id: str
    path: Sequence[str]
    title: str
    description: str
    filter: str
    cover_media_id: str
    revision: int
    create_time: datetime
    update_time: datetime
    role: Role = Role.NONE

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'


@dataclass(frozen=True, slots=True)
class NewCollection:
    """A collection to create. `parent_path`: see `Collection.path`."""

    collection_id: str
    owner: Owner
    project_id: str
    parent_path: Sequence[str]
    title: str
    description: str
    filter: str


@dataclass(frozen=True, slots=True)
class Member:
    """`shared`: those with a role on the collection may read the media."""

    media_id: str
    shared: bool
