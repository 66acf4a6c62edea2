"""The queues of the protocol with foreign workers, and how messages go through them."""

from aiormq.abc import AbstractChannel, ArgumentsType
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from media_service.foreign.messages import FAILED, PROCESS, PROCESSED, PROGRESS
from media_service.rabbitmq.broker import answer, unavailable

# Where foreign workers publish, with the name of the message as routing key. So their user of the
# broker needs to write to this exchange only, and to read `media.process` only.
REPLIES = "media.replies"
# Replies that nobody understands, or that could not be handled again and again.
DEAD = "media.replies.dead"
MAX_DEAD = 1000
MAX_DELIVERIES = 20
# More jobs than these wait in PostgreSQL, not in the queue.
MAX_WAITING = 100

JOBS: ArgumentsType = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_WAITING,
    "x-overflow": "reject-publish",
    "x-delivery-limit": MAX_DELIVERIES,
}
INBOX: ArgumentsType = {
    "x-queue-type": "quorum",
    "x-delivery-limit": MAX_DELIVERIES,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
}
DEAD_REPLIES: ArgumentsType = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_DEAD,
    "x-overflow": "drop-head",
}


async def declare(channel: AbstractChannel) -> None:
    await channel.queue_declare(PROCESS, durable=True, arguments=JOBS)
    await channel.queue_declare(DEAD, durable=True, arguments=DEAD_REPLIES)
    await channel.exchange_declare(REPLIES, exchange_type="direct", durable=True)
    for name in (PROGRESS, PROCESSED, FAILED):
        await channel.queue_declare(name, durable=True, arguments=INBOX)
        await channel.queue_bind(name, REPLIES, name)


async def send_job(channel: AbstractChannel, body: bytes, job_id: str, seconds: float) -> bool:
    """Publishes a job, which leaves the queue after so many seconds. Returns False if the queue is
    full. Raises Unavailable (BROKER_UNAVAILABLE)."""
    properties = Basic.Properties(
        delivery_mode=2,
        content_type="application/json",
        message_type=PROCESS,
        correlation_id=job_id,
        expiration=str(int(seconds * 1000)),
    )
    try:
        await answer(
            channel.basic_publish(body, routing_key=PROCESS, properties=properties, mandatory=True)
        )
    except PublishError as error:
        raise unavailable(f"there is no queue {PROCESS}") from error
    except DeliveryError:
        return False
    return True
