"""`manage.py bootstrap`: from nothing to a usable server; a second run changes nothing."""

from __future__ import annotations

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction

from claudeapi.conf import options
from claudeapi.core.process import PRIVATE
from console import audit
from console.keys import changes
from keys_app.models import ApiKey
from keys_app.scopes import DEFAULT

OPERATOR = "admin"


class Command(BaseCommand):
    """Migrates, and makes the first operator and the first key."""

    help = "Migrate, and make a first operator and a first API key if there are none."

    def handle(self, *args: Any, **arguments: Any) -> None:
        """Do what is left to do, and print what is shown once."""
        os.umask(PRIVATE)
        options().data_dir.mkdir(parents=True, exist_ok=True)
        call_command("migrate", interactive=False, verbosity=0)
        with transaction.atomic():
            password = self._first_operator()
            key = self._first_key()
        port = options().port
        if password:
            self._show_once(
                f"Admin     http://localhost:{port}/admin/",
                f"User      {OPERATOR}",
                f"Password  {password}",
            )
        if key:
            self._show_once(f"API key   {key}")

    def _first_operator(self) -> str | None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return None
        password = secrets.token_urlsafe(18)
        made = users.create_superuser(OPERATOR, password=password)
        audit.record(audit.COMMAND_LINE, "user.added", made)
        return password

    def _first_key(self) -> str | None:
        if ApiKey.objects.filter(source="issued").exists():
            return None
        key, text = ApiKey.objects.issue("First key", scopes=list(DEFAULT))
        audit.record(audit.COMMAND_LINE, "key.created", key, **changes.made(key))
        return str(text)

    def _show_once(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(self.style.SUCCESS(f"  {line}"))
        self.stdout.write("  Shown this once: keep it.\n\n")
