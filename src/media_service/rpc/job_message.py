"""Jobs as messages."""

from mediaservice.v1 import job_pb2

from media_service.access.owner import Owner
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.jobs.model import BatchCounts, Job, JobKind
from media_service.renditions.results import JobResult
from media_service.rpc.convert import owner_to_message, rendition_to_message, timestamp
from media_service.rpc.error_status import fault_status
from media_service.rpc.public_urls import PublicUrls


def actor_to_message(actor: Owner | None) -> job_pb2.Job.Actor:
    if actor is None:
        return job_pb2.Job.Actor(type="service")
    return job_pb2.Job.Actor(type=actor.type, id=actor.id)


def job_to_message(job: Job, result: JobResult | None, public_urls: PublicUrls) -> job_pb2.Job:
    """`public_urls`: as in `media_to_message`."""
    message = job_pb2.Job(
        job_id=job.job_id,
        owner=owner_to_message(job.owner),
        actor=actor_to_message(job.actor),
        project_id=job.project_id,
        type=job_pb2.Job.Type.Value(job.kind.type),
        state=job_pb2.Job.State.Value(job.state),
        priority=job_pb2.Job.Priority.Value(job.priority.name),
        progress_percent=job.progress_percent,
        stage=job.stage,
        attempt=job.attempt,
        rendition_name=job.rendition,
        create_time=timestamp(job.create_time),
        update_time=timestamp(job.update_time),
    )
    if job.kind is JobKind.BATCH:
        message.batch_id = job.job_id
        if job.batch:
            message.batch.CopyFrom(batch_to_message(job.batch))
    else:
        message.media_id = job.media_id
    if job.fault:
        message.error.CopyFrom(fault_status(job.fault))
    if job.start_time:
        message.start_time.CopyFrom(timestamp(job.start_time))
    if job.end_time:
        message.end_time.CopyFrom(timestamp(job.end_time))
    if job.kind.renders:
        message.operations.extend(stored_pipeline(job.pipeline).operations)
    if result:
        message.rendition.CopyFrom(
            rendition_to_message(result.media, result.rendition, public_urls)
        )
    return message


def batch_to_message(batch: BatchCounts) -> job_pb2.Job.Batch:
    return job_pb2.Job.Batch(
        selected_count=batch.selected,
        processed_count=batch.processed,
        changed_count=batch.changed,
        failed_count=batch.failed,
        errors=[
            job_pb2.Job.Batch.Refusal(media_id=each.media_id, error=fault_status(each.fault))
            for each in batch.refusals
        ],
    )
