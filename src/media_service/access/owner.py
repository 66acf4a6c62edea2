"""The owner of a media, an upload or a job."""

from dataclasses import dataclass

USER = "user"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a resource is. `org_id` is empty for a user without an organization."""

    type: str
    id: str
    org_id: str = ""
