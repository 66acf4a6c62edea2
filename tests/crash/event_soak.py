"""`python -m tests.crash.event_soak --kills 200`: kills PostgreSQL, Redis, RabbitMQ, servers and
workers at random, while clients change media. Fails if an event does not reach every consumer, or
if those of a media do not come in their order. Jobs are told over RabbitMQ meanwhile, and all of
them must end."""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.crash.deployment import new_deployment
from tests.support.crash.event_system import EventSystem, event_system, settings
from tests.support.crash.soak_program import TEMPLATE, Progress, run, soak_postgres
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.stores.valkey_server import ValkeyServer

PARTS = ("server", "worker", "worker", "redis", "rabbitmq", "postgres")
# Kills after which everything must arrive, and all consumers begin anew.
CHAPTER = 40
USERS = 3
RENAMES = 5
LONGEST_PAUSE = 2.0


def chapter(system: EventSystem, kills: int, done: Counter[str], progress: Progress) -> list[str]:
    users = [system.use(RENAMES) for _ in range(USERS)]
    for _ in range(kills):
        time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
        part = random.choice(PARTS)  # noqa: S311
        system.kill(part)
        done[part] += 1
        progress.show(text_of(done, system.facts.acknowledged.total()))
    for user in users:
        user.end()
    system.await_arrival()
    return system.problems()


def text_of(done: Counter[str], facts: int) -> str:
    parts = ", ".join(f"{count} × {part}" for part, count in sorted(done.items()))
    return f"{done.total()} kills ({parts}), {facts} changes acknowledged"


def soak(kills: int) -> list[str]:
    done, facts, broken, progress = Counter[str](), 0, list[str](), Progress()
    with soak_postgres() as postgres, RabbitmqServer() as rabbitmq:
        while done.total() < kills:
            with tempfile.TemporaryDirectory(prefix="media-redis-") as folder:
                redis = ValkeyServer(Path(folder))
                with (
                    new_deployment(postgres, TEMPLATE, **settings(redis, rabbitmq)) as deployment,
                    event_system(deployment, redis, rabbitmq, workers=2) as system,
                ):
                    left = min(CHAPTER, kills - done.total())
                    broken += chapter(system, left, done, progress)
                    facts += system.facts.acknowledged.total()
    progress.end(text_of(done, facts))
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    run(lambda: soak(kills))


if __name__ == "__main__":
    main()
