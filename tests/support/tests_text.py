"""The text of all tests, for rules that check whether a test names something."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
# The last two make calls for tests. Other modules, such as the fake server, only imitate names.
FILES = ("*/test_*.py", "support/rpc/*.py", "support/rest*.py")

ALL_TESTS = "\n".join(path.read_text() for files in FILES for path in TESTS.glob(files))
