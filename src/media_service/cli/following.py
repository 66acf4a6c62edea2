"""Follows a job from the command line."""

from media_service.cli import output
from media_service.cli.client_command import INTERRUPTED
from media_service_client import Client, Job


def follow(client: Client, job: Job) -> Job:
    """Shows a job until it has ended."""
    try:
        with output.job_progress(job.rendition_name or Job.Type.Name(job.type).lower()) as show:
            for seen in client.watch_job(job.job_id):
                show(seen)
                job = seen
    except KeyboardInterrupt:
        output.complain(f"the job continues. To cancel it:\n  media-service cancel {job.job_id}")
        raise SystemExit(INTERRUPTED) from None
    return job
