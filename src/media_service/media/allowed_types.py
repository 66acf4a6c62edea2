"""The content types that the service accepts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from media_service.errors import InvalidArgument, Reason
from media_service.media import content_type


@dataclass(frozen=True, slots=True)
class AllowedTypes:
    """`patterns` are content types, and patterns such as "image/*". `narrower`: lists of them, of
    policies, each of which must cover a type as well."""

    patterns: tuple[str, ...]
    narrower: tuple[tuple[str, ...], ...] = ()

    def narrowed(self, lists: Sequence[tuple[str, ...]]) -> "AllowedTypes":
        """The types that these lists cover, too."""
        return replace(self, narrower=(*self.narrower, *lists)) if lists else self

    def check(self, name: str) -> None:
        """Raises InvalidArgument (TYPE_NOT_ALLOWED)."""
        for patterns in (self.patterns, *self.narrower):
            if not content_type.matches(name, patterns):
                raise InvalidArgument(
                    Reason.TYPE_NOT_ALLOWED,
                    f"Files of type {name} are not accepted. Accepted: {', '.join(patterns)}.",
                    content_type=name,
                    allowed_types=",".join(patterns),
                )

    def choose(self, name: str) -> str:
        """Returns the type, or that of the same container with or without video if only that one is
        allowed. Raises the error of `check`."""
        other = content_type.in_same_container(name)
        for possible in (name, other):
            if all(content_type.matches(possible, p) for p in (self.patterns, *self.narrower)):
                return possible
        self.check(name)
        return name
