"""Everything between a change and the consumers of its event is killed once: the server, the relay,
the connections to the database, Redis and RabbitMQ. `make soak-events` does so at random."""

import tempfile
from pathlib import Path

from tests.support.crash.deployment import new_deployment
from tests.support.crash.event_system import event_system, settings
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually


def test_every_event_reaches_every_consumer_in_order(
    postgres: str, template: str, rabbitmq: RabbitmqServer
) -> None:
    with tempfile.TemporaryDirectory(prefix="media-redis-") as folder:
        redis = ValkeyServer(Path(folder))
        with (
            new_deployment(postgres, template, **settings(redis, rabbitmq)) as deployment,
            event_system(deployment, redis, rabbitmq, workers=1) as system,
        ):
            user = system.use(renames=20)
            for part in ("worker", "redis", "rabbitmq", "connections", "server"):
                eventually(system.facts.more)
                system.kill(part)
            user.end()
            system.await_arrival()
            assert system.problems() == []
