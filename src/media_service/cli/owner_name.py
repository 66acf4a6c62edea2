"""The owner that an argument names."""

import re

import click

from media_service_client import Owner

# As in the contract.
TYPE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class OwnerName(click.ParamType[tuple[str, str]]):
    """TYPE:ID, such as user:bob. The value is a tuple of both."""

    name = "owner"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        kind, _, name = str(value).partition(":")
        if not TYPE.fullmatch(kind) or not name:
            self.fail(f"{value} is not TYPE:ID, such as user:bob or event:gala", param, ctx)
        return kind, name


def owner_in(organization_id: str, name: tuple[str, str]) -> Owner:
    kind, owner_id = name
    return Owner(type=kind, id=owner_id, organization_id=organization_id)
