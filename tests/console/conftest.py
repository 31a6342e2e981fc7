"""Operators of each role, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import requests
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client

from console import roles
from sessions_app import switch
from tests.console.staging import PASSWORD
from tests.server_process import ALICE, ServerProcess, copy_of, environment, manage


@pytest.fixture(autouse=True)
def _switch_is_asked_anew() -> Iterator[None]:
    switch.forget()
    yield
    switch.forget()


def role_group(name: str) -> Group:
    """A group of the migration's; made anew after a test that emptied the database."""
    if not Group.objects.filter(name=name).exists():
        import_module("console.migrations.0002_groups").make(apps, None)
    return Group.objects.get(name=name)


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Makes a member of staff with a role: `person("viewer")`."""

    def make(role: str = "", **fields: Any) -> User:
        user = User.objects.create_user(
            fields.pop("username", role or "nobody"),
            password=PASSWORD,
            is_staff=True,
            **fields,
        )
        if role:
            user.groups.add(role_group(role))
        return user

    return make


@pytest.fixture
def signed_in(person: Callable[..., User]) -> Callable[..., Client]:
    """A client of somebody with a role, signed in: `signed_in("operator")`."""

    def make(role: str = "", **fields: Any) -> Client:
        client = Client()
        client.force_login(person(role, **fields))
        return client

    return make


@pytest.fixture(params=roles.GROUPS)
def role(request: pytest.FixtureRequest) -> str:
    """Each of the groups."""
    return str(request.param)


MAKE_PEOPLE = """
from django.contrib.auth.models import Group, User
for name in ("viewer", "approver", "operator", "administrator"):
    user = User.objects.create_user(name, password="{password}", is_staff=True)
    user.groups.add(Group.objects.get(name=name))
"""


@pytest.fixture(scope="session")
def console_server(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server process with somebody of each role, named after it."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("console"))
    env = environment(data_dir, RATE_LIMIT_MAX_REQUESTS="100000")
    manage("shell", "-c", MAKE_PEOPLE.format(password=PASSWORD), env=env)
    process = ServerProcess(env)
    yield process
    process.stop()


@pytest.fixture
def api(console_server: ServerProcess) -> Iterator[requests.Session]:
    """Alice, who uses the API while others watch."""
    with requests.Session() as session:
        session.headers["x-api-key"] = ALICE
        yield session
