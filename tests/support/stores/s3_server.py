"""A real S3 server for tests: versitygw over a folder, on loopback, with AWS's rules."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.stores.aws_rules import as_on_aws
from tests.support.tools import await_answer, require_tool

ACCESS, SECRET = "media-tests", "media-tests-secret"
BUCKET = "media"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Yields the endpoint. The bucket is `BUCKET`, the credentials are `ACCESS` and `SECRET`."""
    program = require_tool("versitygw")
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    process = subprocess.Popen(
        [program, "--quiet", "--port", f"127.0.0.1:{port}", "posix", str(folder)],
        env={**os.environ, "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET},
        stdout=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        await_answer(endpoint, process)
        with as_on_aws(endpoint, ACCESS, SECRET) as strict:
            yield strict
    finally:
        process.terminate()
        process.wait()
