"""Open files: a stream onto a local disk takes one, and so does every connection.

Most systems begin with 1024, which is for programs of old that cannot count further, and let a
process raise that by itself.
"""

import resource


def allow_open_files() -> None:
    """As many as this process may have: the soft limit becomes the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
