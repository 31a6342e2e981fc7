"""`manage.py api_keys create|list|extend|revoke|rotate`: keys from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from claudeapi.core.errors import timestamp
from console import audit
from console.keys import changes
from console.keys.command_values import duration, json_object, moment, usd
from keys_app import environment, scopes, tokens, validators
from keys_app.describe import facts
from keys_app.holdings import held_by, sentence
from keys_app.models import ApiKey, KeyNotChangeableError
from keys_app.presets import PRESETS

LISTS = {
    "scope": ("scopes", "SCOPE", f"one of {', '.join(scopes.ALL)}; default: all but admin"),
    "engine": ("engines", "ENGINE", "an engine it may use; default: every one"),
    "model": ("models", "MODEL", "a model it may use, * allowed; default: every one"),
    "permission-mode": (
        "permission_modes",
        "MODE",
        f"one of {', '.join(validators.PERMISSION_MODES)}; default: all but the last",
    ),
    "root": ("roots", "FOLDER", "an absolute folder in which its agents may work"),
    "tool": ("tools", "TOOL", "a tool its agents may use; default: what the engine allows"),
    "allowed-ip": ("allowed_ips", "RANGE", "an address or CIDR range; default: from anywhere"),
}
NUMBERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "max-turns": ("max_turns", int, "agent turns for one message"),
    "max-sessions": ("max_sessions", int, "active sessions at once"),
    "max-runs": ("max_runs", int, "runs in progress at once"),
    "rate-limit": ("rate_limit", int, "requests in one window of the server"),
    "budget-day-usd": ("budget_day_usd", usd, "US dollars a day, UTC"),
    "budget-month-usd": ("budget_month_usd", usd, "US dollars a calendar month, UTC"),
    "expires": ("expires_at", moment, "a duration such as 30d, or an ISO 8601 time"),
    "metadata": ("metadata", json_object, "a JSON object for your own records"),
}


class Command(BaseCommand):
    """Make, list, extend, revoke and rotate API keys. A key's text is printed once, by itself."""

    help = "Make, list, extend, revoke and rotate API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """The five verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        create = verbs.add_parser("create", help="make a key and print it, once")
        create.add_argument("name", help="for people: who or what uses it")
        create.add_argument(
            "--preset", choices=PRESETS, help="a policy to begin with; what else is said wins"
        )
        _add_policy(create)
        listing = verbs.add_parser("list", help="show the keys, without their secrets")
        listing.add_argument("--active", action="store_true", help="only those that work")
        extend = verbs.add_parser("extend", help="let a key work for longer")
        revoke = verbs.add_parser("revoke", help="end a key for good")
        revoke.add_argument("--dry-run", action="store_true", help="only say what it cuts off")
        rotate = verbs.add_parser("rotate", help="give a key a new secret and print it, once")
        rotate.add_argument(
            "--overlap", type=duration, default="0s", metavar="DURATION",
            help="how long the present secret goes on working: 90s, 30m, 24h, 7d; default 0s",
        )  # fmt: skip
        for verb in (extend, revoke, rotate):
            verb.add_argument("key", help="its prefix (capi_…) or id")
        extend.add_argument(
            "until", type=moment, help="a duration from now such as 30d, or an ISO 8601 time"
        )
        for verb in (create, listing, extend, revoke, rotate):
            verb.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb.

        Raises:
            CommandError: it cannot be done, and why.
        """
        try:
            getattr(self, f"_{options['verb']}")(options)
        except ValidationError as error:
            raise CommandError("\n".join(_problems(error))) from error
        except KeyNotChangeableError as error:
            raise CommandError(str(error)) from error

    def _create(self, options: dict[str, Any]) -> None:
        names = [field for field, *_ in [*LISTS.values(), *NUMBERS.values()]]
        preset = PRESETS.get(options["preset"])
        fields = preset.fields() if preset else {}
        fields |= {name: options[name] for name in names if options[name] is not None}
        fields["allow_slash_commands"] = options["allow_slash_commands"]
        if options["owner"]:
            fields["owner"] = _user(options["owner"])
        with transaction.atomic():
            key, text = ApiKey.objects.issue(options["name"], **fields)
            _write_down("created", key, **changes.made(key))
        self._print_text(key, text, options)

    def _list(self, options: dict[str, Any]) -> None:
        keys = ApiKey.objects.all()
        if options["active"]:
            keys = environment.working(keys)
        rows = [facts(key) for key in keys.select_related("owner")]
        if options["json"]:
            self._print_json(rows)
            return
        for row in rows:
            used = row["lastUsedAt"] or "never used"
            columns = (row["prefix"], row["state"], row["source"], used, row["name"])
            self.stdout.write("  ".join(columns))
        if not rows:
            self.stderr.write("There are no keys: make one with `api_keys create NAME`.")

    def _extend(self, options: dict[str, Any]) -> None:
        key = _find(options["key"])
        old = key.expires_at
        with transaction.atomic():
            if extended := key.extend(options["until"]):
                change = {"old": _moment(old), "new": _moment(key.expires_at)}
                _write_down("extended", key, expires_at=change)
        row = facts(key)
        if options["json"]:
            self._print_json({**row, "extended": extended})
        elif extended:
            self.stdout.write(f"{key} works until {row['expiresAt']}.")
        elif key.expires_at is None:
            self.stdout.write(f"{key} never expires.")
        else:
            self.stdout.write(f"{key} works longer already: until {row['expiresAt']}.")

    def _revoke(self, options: dict[str, Any]) -> None:
        key = _find(options["key"])
        held = held_by(key.pk)
        with transaction.atomic():
            if revoked := not options["dry_run"] and key.revoke():
                _write_down("revoked", key, cut_off=held)
        if options["json"]:
            self._print_json({**facts(key), "revoked": revoked, "cutsOff": held})
        elif options["dry_run"]:
            self.stdout.write(f"{key} would be revoked. {sentence(held)}")
        elif revoked:
            self.stdout.write(f"{key} is revoked. {sentence(held)}")
        else:
            self.stdout.write(f"{key} was revoked before.")

    def _rotate(self, options: dict[str, Any]) -> None:
        key = _find(options["key"])
        with transaction.atomic():
            text = key.rotate(options["overlap"])
            _write_down("rotated", key, previous_valid_until=_moment(key.previous_valid_until))
        self._print_text(key, text, options)

    def _print_text(self, key: ApiKey, text: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json({**facts(key), "key": text})
            return
        # The text alone on stdout, so that `KEY=$(manage.py api_keys create ci)` works.
        self.stderr.write(f"{key}: this is its only showing.")
        if key.previous_valid_until:
            until = facts(key)["previousValidUntil"]
            self.stderr.write(f"The secret before it works until {until}.")
        self.stdout.write(text)

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False))


def _add_policy(parser: ArgumentParser) -> None:
    for option, (field, metavar, meaning) in LISTS.items():
        parser.add_argument(
            f"--{option}", dest=field, action="append", metavar=metavar,
            help=f"{meaning}; may be repeated",
        )  # fmt: skip
    for option, (field, kind, meaning) in NUMBERS.items():
        parser.add_argument(f"--{option}", dest=field, type=kind, help=meaning)
    parser.add_argument("--allow-slash-commands", action="store_true")
    parser.add_argument("--owner", metavar="USERNAME", help="who answers for it")


def _write_down(done: str, key: ApiKey, **details: Any) -> None:
    audit.record(audit.COMMAND_LINE, f"key.{done}", key, **details)


def _moment(at: datetime | None) -> str | None:
    return timestamp(at) if at else None


def _find(text: str) -> ApiKey:
    """A key by id or by prefix, also when more than the prefix was pasted."""
    key = next(iter(_matching(text)), None)
    if key is None:
        # What was given may be a whole key: it is not repeated.
        raise CommandError("There is no such key: give its prefix (capi_…) or its id.")
    return key


def _matching(text: str) -> Iterable[ApiKey]:
    parts = text.split("_")
    if parts[0] == tokens.MARK and len(parts) > 1:
        return ApiKey.objects.filter(public_id=parts[1])
    try:
        return ApiKey.objects.filter(pk=UUID(text))
    except ValueError:
        return [key for key in ApiKey.objects.filter(public_id=None) if key.prefix == text]


def _user(username: str) -> Any:
    user = get_user_model()._default_manager.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user named {username}.")
    return user


def _problems(error: ValidationError) -> list[str]:
    return [f"{field}: {text}" for field, texts in error.message_dict.items() for text in texts]
