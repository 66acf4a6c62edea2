"""Checks the fields that an update names."""

from collections.abc import Iterable, Sequence

from media_service.errors import InvalidArgument, Reason

# The fields that an error names.
MAX_LISTED = 20


def check_changeable(names: Iterable[str], changeable: Sequence[str]) -> None:
    """Raises InvalidArgument (INVALID_UPDATE_MASK) if a name is not in `changeable`."""
    unknown = [name for name in names if name not in changeable][:MAX_LISTED]
    if unknown:
        raise InvalidArgument(
            Reason.INVALID_UPDATE_MASK,
            f"{', '.join(unknown)} cannot be changed. Fields that can: {', '.join(changeable)}.",
            fields=tuple((f"update_mask.{name}", "cannot be changed") for name in unknown),
        )
