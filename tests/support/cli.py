"""Commands in the test's process."""

from collections.abc import Callable

from click.testing import Result

# Runs a command with these arguments, bytes on `stdin` and changes of the environment.
Run = Callable[..., Result]
