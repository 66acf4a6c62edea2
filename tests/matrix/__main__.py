"""`python -m tests.matrix`: prints the table of what the service answers, as a proposal for
`answers.txt`. Read each line before you take it over."""

import asyncio
import tempfile
from contextlib import nullcontext
from pathlib import Path

from click import echo

from media_service.codecs.sandbox.forks import ForkServer
from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from tests.matrix.answers import HIDDEN
from tests.matrix.rows import ROWS
from tests.matrix.running import running_matrix
from tests.matrix.table import Expected, aligned, line, read
from tests.matrix.trial import tried


async def main() -> None:
    known = read()
    with (
        tempfile.TemporaryDirectory(prefix="media-matrix-") as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
    ):
        await migrate(url)
        async with (
            ForkServer() as forks,
            running_matrix(url, Path(folder), nullcontext(forks)) as matrix,
        ):
            lines = []
            for row in ROWS:
                hidden = known[row.name].hidden if row.name in known else "-"
                found = await tried(matrix.world, matrix.faces["gRPC"], row, hidden)
                lines.append(line(row.name, proposed(found.expected)))
    echo(aligned(lines))


def proposed(found: Expected) -> Expected:
    """What a stranger does not find is hidden."""
    reason = found.words["stranger"]
    if found.hidden != "-" or not reason.endswith("_NOT_FOUND"):
        return found
    words = {name: HIDDEN if word == reason else word for name, word in found.words.items()}
    return Expected(reason, words)


if __name__ == "__main__":
    asyncio.run(main())
