"""Roles, named and numbered as in the contract (`Rule.Role`) and in the database."""

from enum import IntEnum


class Role(IntEnum):
    """What a caller may do with a resource. Each role includes the ones below it. NONE means that
    the resource does not exist for the caller."""

    NONE = 0
    VIEWER = 1
    COMMENTER = 2
    EDITOR = 3
    MANAGER = 4
    OWNER = 5
