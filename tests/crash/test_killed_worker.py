"""A job that was accepted ends, whoever is killed."""

from tests.crash.conftest import Machine
from tests.e2e.rest import client_of, settled, store
from tests.media_files import jpeg
from tests.tools import eventually


def test_what_a_killed_worker_had_begun_and_what_waited_is_inspected_all_the_same(
    machine: Machine,
) -> None:
    with client_of(machine.service, "alice") as alice:

        def state(media: str) -> str:
            return str(alice.get(f"/v1/media/{media}").json()["state"])

        before = store(alice, jpeg())["mediaId"]
        assert settled(alice, before)["state"] == "READY"
        # The worker's child gets no further, so what it inspects now stays PROCESSING.
        for child in machine.part("work").children(recursive=True):
            child.suspend()
        begun = store(alice, jpeg())["mediaId"]
        eventually(lambda: state(begun) == "PROCESSING")
        waiting = store(alice, jpeg())["mediaId"]
        assert state(waiting) == "PENDING"
        machine.strike("work")
        machine.restart()
        eventually(lambda: state(waiting) == "READY")
        # A dead worker holds its job for half a minute more.
        assert state(begun) == "PROCESSING"
        machine.pass_time("30 seconds")
        settled(alice, store(alice, jpeg())["mediaId"])
        eventually(lambda: state(begun) == "READY")
