"""FOREIGN jobs in a worker that knows no foreign workers: it renders itself."""

from media_service.jobs.model import JobKind
from media_service.renditions.handlers.process import ProcessHandler


class ForeignHandler(ProcessHandler):
    """Runs FOREIGN jobs as PROCESS jobs, so that they end after the setting was changed."""

    kind = JobKind.FOREIGN
