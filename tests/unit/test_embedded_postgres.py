"""PostgreSQL gets an environment of its own."""

import os

import pytest

from media_service.db.embedded_postgres import MALLOC, own_environment


def test_postgresql_gets_no_secrets_and_keeps_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, *unset = MALLOC
    for name in unset:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(kept, "1")  # by the operator
    monkeypatch.setenv("MEDIA_JWT_SECRET", "secret")
    before = dict(os.environ)
    with own_environment():
        inside = dict(os.environ)
    assert dict(os.environ) == before
    assert "secret" not in inside.values()
    assert inside.items() >= {kept: "1", **{name: MALLOC[name] for name in unset}}.items()
