"""Signing in: bounded attempts, sign-ins that end, a second factor."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import AuditEntry, SecondFactor
from console.sign_in import lifetime, pending, throttle, totp
from tests.console.staging import PASSWORD

pytestmark = pytest.mark.django_db
STATIC = Path(apps.get_app_config("console").path) / "static"
LOGIN, CODE = "/admin/login/", "/admin/login/code/"


def attempt(
    client: Client,
    password: str,
    address: str = "192.0.2.1",
    username: str = "viewer",
    code: str = "",
) -> bool:
    """Whether this password, and this code where one is asked for, opens the console."""
    fields = {"username": username, "password": password}
    answer = client.post(LOGIN, fields, REMOTE_ADDR=address)
    if answer.status_code == 302 and answer["Location"] == CODE:
        answer = client.post(CODE, {"code": code}, REMOTE_ADDR=address)
    return answer.status_code == 302 and client.get("/admin/").status_code == 200


def test_after_five_failures_from_one_address_not_even_the_password_helps(
    client: Client, person: Callable[..., User]
) -> None:
    person("viewer")
    for _ in range(throttle.PER_NAME_AND_ADDRESS):
        assert not attempt(client, "wrong")
    assert not attempt(client, PASSWORD)


def test_of_many_guesses_at_the_same_moment_no_more_are_looked_at_than_may_fail() -> None:
    at_once = [throttle.begin("192.0.2.7", "viewer") for _ in range(20)]
    assert sum(attempt.is_open for attempt in at_once) == throttle.PER_NAME_AND_ADDRESS
    # What was not looked at keeps nobody else at this address out.
    others = [throttle.begin("192.0.2.7", f"name-{number}") for number in range(15)]
    assert all(attempt.is_open for attempt in others)
    assert not throttle.begin("192.0.2.7", "one more").is_open
    at_once[0].take_back()
    assert throttle.begin("192.0.2.7", "one more").is_open


def test_a_count_that_has_ended_keeps_no_other_from_being_taken_back() -> None:
    right = throttle.begin("192.0.2.8", "viewer")
    cache.delete(right.counters[0])
    right.take_back()
    more = [throttle.begin("192.0.2.8", "viewer") for _ in range(throttle.PER_NAME_AND_ADDRESS)]
    assert all(attempt.is_open for attempt in more)


def test_strangers_cannot_lock_somebody_out(client: Client, person: Callable[..., User]) -> None:
    person("viewer")
    for _ in range(throttle.PER_NAME_AND_ADDRESS + 3):
        attempt(client, "wrong", address="198.51.100.9")
    assert attempt(client, PASSWORD, address="192.0.2.1")


def test_one_address_cannot_try_many_names(client: Client, person: Callable[..., User]) -> None:
    person("viewer")
    for number in range(throttle.PER_ADDRESS):
        attempt(client, "wrong", username=f"name-{number}")
    assert not attempt(client, PASSWORD)
    assert attempt(client, PASSWORD, address="192.0.2.2")


def test_signing_in_well_is_not_counted(client: Client, person: Callable[..., User]) -> None:
    person("viewer")
    for _ in range(throttle.PER_NAME_AND_ADDRESS + 3):
        assert attempt(client, PASSWORD)


@pytest.mark.parametrize(("name", "password"), [("", "x"), (" ", "x"), ("viewer", ""), ("", "")])
def test_an_empty_field_is_told_and_neither_counted_nor_written_down(
    name: str, password: str, client: Client, person: Callable[..., User]
) -> None:
    person("viewer")
    for _ in range(throttle.PER_ADDRESS + 1):
        answer = client.post(LOGIN, {"username": name, "password": password})
        assert "This field is required" in answer.content.decode()
    assert not AuditEntry.objects.exists()
    assert attempt(client, PASSWORD, address="127.0.0.1")


def test_an_unused_sign_in_ends_and_a_used_one_is_prolonged(
    signed_in: Callable[..., Client],
) -> None:
    client = signed_in("viewer")
    row = Session.objects.get()
    Session.objects.update(expire_date=timezone.now() + timezone.timedelta(minutes=1))
    session = client.session
    session[lifetime.TOUCHED] = int(time.time()) - lifetime.TOUCH_SECONDS - 1
    session.save()
    assert client.get(reverse("admin:index")).status_code == 200
    row.refresh_from_db()
    assert row.expire_date > timezone.now() + timezone.timedelta(minutes=100)
    Session.objects.update(expire_date=timezone.now())
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("background", [{"sec-fetch-dest": "empty"}, {"x-requested-with": "fetch"}])
def test_what_a_page_asks_by_itself_does_not_prolong_a_sign_in(
    signed_in: Callable[..., Client], background: dict[str, str]
) -> None:
    client = signed_in("viewer")
    session = client.session
    session[lifetime.TOUCHED] = began = int(time.time()) - lifetime.TOUCH_SECONDS - 1
    session.save()
    client.get(reverse("admin:console_charts"), headers=background)
    assert client.session[lifetime.TOUCHED] == began
    client.get(reverse("admin:index"), headers={"sec-fetch-dest": "document"})
    assert client.session[lifetime.TOUCHED] > began


def test_every_request_of_a_script_says_that_it_is_one() -> None:
    scripts = "".join(path.read_text() for path in STATIC.rglob("*.js"))

    calls = re.findall(r"await fetch\((.*?)\);", scripts, re.DOTALL)

    assert len(calls) > 5
    assert [call for call in calls if '"X-Requested-With": "fetch"' not in call] == []


def test_after_twelve_hours_everybody_signs_in_anew(signed_in: Callable[..., Client]) -> None:
    client = signed_in("viewer")
    session = client.session
    session[lifetime.BEGAN] = int(time.time()) - lifetime.LONGEST_SECONDS - 1
    session.save()
    assert client.get(reverse("admin:index")).status_code == 302


def code_of(factor: SecondFactor, steps: int = 0) -> str:
    return pyotp.TOTP(factor.secret).at(time.time() + steps * totp.STEP_SECONDS)


def test_a_second_factor_is_set_up_with_a_code_and_then_asked_for(
    signed_in: Callable[..., Client],
) -> None:
    client = signed_in("viewer")
    page = reverse("admin:console_second_factor")
    assert "<svg" in client.post(page, {"do": "begin"}).content.decode()
    factor = SecondFactor.objects.get()
    assert attempt(Client(), PASSWORD), "not asked for until it is confirmed"
    done = client.post(page, {"do": "confirm", "code": code_of(factor, -1)})
    [spare, *_] = done.context["spare"]
    assert not attempt(Client(), PASSWORD)
    assert attempt(Client(), PASSWORD, code=code_of(factor))
    assert not attempt(Client(), PASSWORD, code=code_of(factor)), "no code works twice"
    assert attempt(Client(), PASSWORD, code=spare)
    assert not attempt(Client(), PASSWORD, code=spare)


@pytest.fixture
def factor(person: Callable[..., User]) -> SecondFactor:
    """The viewer's, turned on."""
    factor = totp.begin(person("viewer"))
    SecondFactor.objects.update(confirmed_at=timezone.now())
    return factor


@pytest.mark.parametrize(
    "code", ["é", "\u0661\u0662\u0663\u0664\u0665\u0666", "", "1 2", "x" * 400]
)
def test_what_is_no_code_is_refused_like_a_wrong_one(
    code: str, client: Client, factor: SecondFactor
) -> None:
    assert not attempt(client, PASSWORD, code=code)
    assert client.post(CODE, {"code": code}).status_code == 200


def test_the_right_password_alone_opens_nothing(client: Client, factor: SecondFactor) -> None:
    client.post(LOGIN, {"username": "viewer", "password": PASSWORD, "next": "/admin/service/"})
    assert client.get("/admin/service/").status_code == 302
    answer = client.post(CODE, {"code": code_of(factor)})
    assert answer["Location"] == "/admin/service/"


def test_the_code_is_asked_for_only_after_the_password_and_for_minutes(
    client: Client, factor: SecondFactor
) -> None:
    assert client.get(CODE)["Location"] == LOGIN
    attempt(client, PASSWORD)
    session = client.session
    session[pending.NAME] = {**session[pending.NAME], "at": int(time.time()) - pending.SECONDS - 1}
    session.save()
    assert client.post(CODE, {"code": code_of(factor)})["Location"] == LOGIN


def test_a_password_changed_meanwhile_must_be_given_anew(
    client: Client, factor: SecondFactor
) -> None:
    attempt(client, PASSWORD)
    factor.user.set_password("another one")
    factor.user.save()
    assert client.post(CODE, {"code": code_of(factor)})["Location"] == LOGIN


def test_codes_are_not_guessed_from_many_addresses(factor: SecondFactor) -> None:
    for number in range(throttle.CODES_PER_NAME):
        assert not attempt(Client(), PASSWORD, address=f"192.0.2.{number}", code="000000")
    assert not attempt(Client(), PASSWORD, address="198.51.100.1", code=code_of(factor))


def test_a_lost_factor_is_taken_away_from_the_command_line(
    client: Client, factor: SecondFactor, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("second_factor", "list")
    call_command("second_factor", "remove", "viewer")
    assert capsys.readouterr().out.startswith("viewer\n")
    assert attempt(client, PASSWORD)
    assert AuditEntry.objects.get(verb="second_factor.removed").actor == "command line"


def test_a_wrong_code_confirms_nothing(signed_in: Callable[..., Client]) -> None:
    client = signed_in("viewer")
    page = reverse("admin:console_second_factor")
    client.post(page, {"do": "begin"})
    answer = client.post(page, {"do": "confirm", "code": "abcdef"})
    assert "not right" in answer.content.decode()
    assert 'value="abcdef"' not in answer.content.decode()
    assert SecondFactor.objects.get().confirmed_at is None


def test_one_takes_ones_factor_away_with_a_code_only(
    signed_in: Callable[..., Client],
) -> None:
    client = signed_in("viewer")
    page = reverse("admin:console_second_factor")
    client.post(page, {"do": "begin"})
    factor = SecondFactor.objects.get()
    client.post(page, {"do": "confirm", "code": code_of(factor, -1)})
    client.post(page, {"do": "begin"})
    client.post(page, {"do": "remove", "code": "wrong"})
    assert SecondFactor.objects.get().secret == factor.secret
    client.post(page, {"do": "remove", "code": code_of(factor)})
    assert not SecondFactor.objects.exists()


def test_an_administrator_takes_away_a_lost_factor_but_sees_no_secret(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    factor = totp.begin(person("viewer"))
    admin = signed_in("administrator")
    page = admin.get(reverse("admin:console_secondfactor_change", args=[factor.pk]))
    assert factor.secret not in page.content.decode()
    admin.post(reverse("admin:console_secondfactor_delete", args=[factor.pk]), {"post": "yes"})
    assert not SecondFactor.objects.exists()


def test_nobody_takes_away_a_factor_of_those_above_or_ones_own_without_a_code(
    signed_in: Callable[..., Client], person: Callable[..., User]
) -> None:
    above = totp.begin(person(username="root", is_superuser=True))
    admin = signed_in("administrator")
    own = totp.begin(User.objects.get(username="administrator"))
    for factor in (above, own):
        delete = reverse("admin:console_secondfactor_delete", args=[factor.pk])
        assert admin.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [above.pk, own.pk], "post": "yes"}
    admin.post(reverse("admin:console_secondfactor_changelist"), chosen)
    assert SecondFactor.objects.count() == 2


def test_a_lost_factor_is_found_on_its_owners_page(
    signed_in: Callable[..., Client], factor: SecondFactor
) -> None:
    page = signed_in("administrator").get(
        reverse("admin:auth_user_change", args=[factor.user_id])  # type: ignore[attr-defined]
    )
    assert reverse("admin:console_secondfactor_change", args=[factor.pk]) in page.content.decode()
