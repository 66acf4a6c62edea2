"""Full garbage collections, which stop all calls, are rare when there are many objects."""

import subprocess
import sys

SCRIPT = """
import gc
from media_service.cli.garbage_collection import FEW_OBJECTS, FullCollections, collect_rarely

def full():
    return gc.get_stats()[2]["collections"]

loaded = [[] for _ in range(FEW_OBJECTS)]
collect_rarely()
collections, before = FullCollections(), full()
collections.run_if_due()
print(full() - before)  # what was loaded before does not count

held = [[] for _ in range(FEW_OBJECTS)]
gc.collect(1)
held += [[] for _ in range(3 * FEW_OBJECTS)]
before = full()
collections.run_if_due()
print(full() - before)

del held
before = full()
collections.run_if_due()
print(full() - before)
"""


def test_full_collections_wait_until_there_are_few_objects() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "0", "1"]
