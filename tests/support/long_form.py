"""`make test` runs the short form of some tests, and `make soak` the long form.

The long form has more examples of Hypothesis, and the tests with the marker `soak`.
"""

import os

LONG_FORM = os.environ.get("SOAK") == "1"


def examples(short: int, long: int) -> int:
    """The number of examples of a property."""
    return long if LONG_FORM else short
