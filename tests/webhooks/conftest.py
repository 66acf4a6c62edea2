"""Fixtures of the tests of webhooks."""

import pytest

from media_service.db.database import Database
from media_service.webhooks.secrets import SecretBox
from tests.support.webhook_deliveries import KEY, Hooks


@pytest.fixture
def hooks(database: Database) -> Hooks:
    return Hooks(database, SecretBox([KEY]))
