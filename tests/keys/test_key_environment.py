"""Keys from the environment: each a tenant of its own, as long as it is there."""

from __future__ import annotations

from typing import Any

import pytest

from claudeapi.core.errors import InvalidApiKey
from keys_app import auth, scopes
from keys_app.environment import sync_environment_keys
from keys_app.models import ApiKey, KeyNotChangeableError, Source
from keys_app.resolved import RESOLVED

pytestmark = pytest.mark.django_db

ONE, TWO = "a-key-of-alice-16", "ein Schluessel von Bob"
IP = "192.0.2.7"


def test_each_string_is_a_tenant_with_every_scope_but_admin(configure: Any) -> None:
    configure(auth={"api_keys": (ONE, TWO)})
    first, second = auth.resolve(ONE, IP), auth.resolve(TWO, IP)
    assert first.pk != second.pk
    assert first.source == second.source == Source.ENVIRONMENT
    assert set(first.scopes) == set(scopes.ALL) - {scopes.ADMIN}
    assert first.prefix.startswith("env_")


def test_rows_are_made_at_start_once(configure: Any) -> None:
    configure(auth={"api_keys": (ONE, TWO)})
    assert sync_environment_keys() == sync_environment_keys()
    assert ApiKey.objects.filter(source=Source.ENVIRONMENT).count() == 2
    assert auth.resolve(ONE, IP).pk == sync_environment_keys()[0].pk


def test_a_key_removed_from_the_environment_works_no_more(configure: Any) -> None:
    configure(auth={"api_keys": (ONE, TWO)})
    key = auth.resolve(ONE, IP)
    assert auth.is_live(key.pk)
    configure(auth={"api_keys": (TWO,)})
    with pytest.raises(InvalidApiKey):
        auth.resolve(ONE, IP)
    RESOLVED.forget(key.pk)
    assert not auth.is_live(key.pk)


def test_the_hash_or_prefix_of_an_environment_key_opens_nothing(configure: Any) -> None:
    configure(auth={"api_keys": (ONE,)})
    key = auth.resolve(ONE, IP)
    for text in (key.secret_hash, key.prefix, ONE.upper(), ONE[:-1]):
        with pytest.raises(InvalidApiKey):
            auth.resolve(text, IP)


def test_an_environment_key_is_neither_revoked_nor_rotated_here(configure: Any) -> None:
    configure(auth={"api_keys": (ONE,)})
    key = auth.resolve(ONE, IP)
    for change in (key.revoke, key.rotate):
        with pytest.raises(KeyNotChangeableError):
            change()


@pytest.mark.django_db(transaction=True)
def test_many_first_uses_at_once_make_one_row(configure: Any, in_parallel: Any) -> None:
    configure(auth={"api_keys": (ONE,)})
    keys = in_parallel(8, lambda: auth.resolve(ONE, IP))
    assert {key.pk for key in keys} == {ApiKey.objects.get(source=Source.ENVIRONMENT).pk}
