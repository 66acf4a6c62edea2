"""The disk of a store is unmounted under a running service, and is missing at its start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash.deployment import Deployment, new_deployment
from tests.support.crash.invariants import settle
from tests.support.crash.vanishing_store import CannotMount, Disk, mounted, vanish
from tests.support.tools import in_ci


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with mounted(tmp_path) as disk:
            yield disk
    except CannotMount as error:
        (pytest.fail if in_ci() else pytest.skip)(str(error))


@pytest.fixture
def deployment(postgres: str, template: str, disk: Disk) -> Iterator[Deployment]:
    with new_deployment(postgres, template, MEDIA_STORAGE_RAW_URL=disk.path.as_uri()) as deployment:
        yield deployment


def test_a_store_that_vanishes_is_an_outage(deployment: Deployment, disk: Disk) -> None:
    server, worker = deployment.start("serve"), deployment.start("work")
    with deployment.client(server) as client:
        attempts = vanish(deployment, client, disk)
    server.stop()
    worker.stop()
    disk.unmount()
    for role in ("serve", "work"):
        refused = deployment.launch(role)
        assert refused.process.wait(60) == 1
        assert "MEDIA_STORAGE_RAW_URL" in refused.log.read_text()
        assert "media-service adopt-store raw" in refused.log.read_text()
    disk.mount()
    settle(deployment, attempts)
    disk.unmount()
    assert "expects the raw store" in deployment.run("adopt-store", "raw")
    deployment.start("serve").stop()
