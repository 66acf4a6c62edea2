"""The content types that the service accepts."""

from dataclasses import dataclass

from media_service.errors import InvalidArgument, Reason
from media_service.media import content_type


@dataclass(frozen=True, slots=True)
class AllowedTypes:
    """`patterns` are content types, and patterns such as "image/*"."""

    patterns: tuple[str, ...]

    def check(self, name: str) -> None:
        """Raises InvalidArgument (TYPE_NOT_ALLOWED)."""
        if not content_type.matches(name, self.patterns):
            raise InvalidArgument(
                Reason.TYPE_NOT_ALLOWED,
                f"Files of type {name} are not accepted. Accepted: {', '.join(self.patterns)}.",
                content_type=name,
                allowed_types=",".join(self.patterns),
            )

    def choose(self, name: str) -> str:
        """Returns the type, or that of the same container with or without video if only that one is
        allowed. Raises the error of `check`."""
        other = content_type.in_same_container(name)
        for possible in (name, other):
            if content_type.matches(possible, self.patterns):
                return possible
        self.check(name)
        return name
