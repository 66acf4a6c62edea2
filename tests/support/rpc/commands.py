"""Runs commands of the CLI against a server."""

import asyncio
from functools import partial
from pathlib import Path

from click.testing import CliRunner, Result

from media_service.cli.main import cli
from tests.support.rpc.server import Running, token


class Run:
    def __init__(self, service: Running, folder: Path) -> None:
        self._environ = {
            "MEDIA_ADDRESS": service.address,
            "MEDIA_DATA_DIR": str(folder),
            "MEDIA_DATABASE_URL": service.database_url,
        }

    async def result(self, user: str, *arguments: str) -> Result:
        environ = {**self._environ, "MEDIA_TOKEN": token(user)}
        invoke = partial(CliRunner(env=environ).invoke, cli, arguments)
        return await asyncio.to_thread(invoke)

    async def __call__(self, user: str, *arguments: str) -> list[list[str]]:
        """The fields of each line of the output."""
        result = await self.result(user, *arguments)
        assert result.exit_code == 0, result.output
        return [line.split("\t") for line in result.stdout.splitlines()]
