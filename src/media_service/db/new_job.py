"""A job as a transaction accepts it. What becomes of it is the business of `jobs`."""

from dataclasses import dataclass, field
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.errors import Fault
from media_service.ids import new_id

NORMAL_PRIORITY = 2


@dataclass(frozen=True, slots=True)
class NewJob:
    """`kind`: a `JobKind`. `owner` None: a job of the service itself. `pipeline`, `rendition`: see
    `Job`. `done`: the result exists already. `fault`: why it has failed before it began.
    `parent_id`: of the job that this is a subjob of; subjobs are numbered from 0. `anew`: it
    renders what exists already, too. `heavy`: it takes more than a few seconds. `actor`: the caller
    who started it; None: the service itself. `charged`: whose turns it takes (see
    `Principal.charged`); None: the owner's. `version`: of the media, that it is about; 0: the one
    that is current."""

    kind: str
    subject_id: str
    owner: Owner | None = None
    priority: int = NORMAL_PRIORITY
    delay: timedelta = timedelta()
    pipeline: str = ""
    rendition: str = ""
    done: bool = False
    fault: Fault | None = None
    parent_id: str | None = None
    subjob_number: int = 0
    heavy: bool = False
    project_id: str = ""
    actor: Owner | None = None
    anew: bool = False
    charged: Owner | None = None
    version: int = 0
    job_id: str = field(default_factory=new_id)

    @property
    def runnable(self) -> bool:
        """Whether a worker may claim it as soon as it is committed."""
        return not self.done and self.fault is None and self.delay <= timedelta()
