"""Who calls."""

from dataclasses import dataclass

from media_service.access.owner import Owner


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was checked. `scopes` None: every permission of the user."""

    subject: str
    org_id: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None

    @property
    def owner(self) -> Owner:
        """What this caller owns, and owns what they create."""
        return Owner("user", self.subject, self.org_id)

    def holds(self, permission: str) -> bool:
        """Whether the token's scope covers a permission such as "media.read"; "media.*" does."""
        if self.scopes is None:
            return True
        area, _, _ = permission.partition(".")
        return bool(self.scopes & {permission, f"{area}.*", "*"})
