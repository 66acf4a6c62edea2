"""What a call was answered, over gRPC or REST."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Reasons as words of the table. `hidden` is the reason of a row for what the caller may not see.
WORDS = {
    "TOKEN_MISSING": "no-token",
    "TOKEN_EXPIRED": "expired",
    "TOKEN_INVALID": "invalid",
    "SCOPE_MISSING": "scope",
    "ROLE_REQUIRED": "role",
    "ORGANIZATION_CLAIM_NOT_ALLOWED": "claim",
    "USER_REQUIRED": "user",
    "OWNER_NOT_ALLOWED": "owner",
    "SHARE_LINK_METHOD_NOT_ALLOWED": "link",
}
OK, EMPTY, HIDDEN = "ok", "empty", "hidden"
# Headers that differ between equal answers.
VOLATILE = {"date", "content-length", "x-request-id"}


@dataclass(frozen=True)
class Answer:
    """`reason`: empty if the call succeeded. `status`: gRPC's code or HTTP's status. `whole`: all
    of the answer, to compare it."""

    reason: str
    status: str
    whole: str

    def word(self, hidden: str, needle: str) -> str:
        """As in the table. `needle`: what a list must contain, or empty."""
        if self.reason:
            return HIDDEN if self.reason == hidden else WORDS.get(self.reason, self.reason)
        return OK if needle in self.whole else EMPTY

    def without(self, values: Mapping[str, str]) -> str:
        """The whole answer, with names instead of these values."""
        text = f"{self.status} {self.whole}"
        for name, value in values.items():
            text = text.replace(value, f"${name}")
        return text


def stable(headers: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return sorted((name, value) for name, value in headers if name not in VOLATILE)
