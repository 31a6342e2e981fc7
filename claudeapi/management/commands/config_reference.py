"""`manage.py config_reference`: `docs/configuration.md`, from the table of settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from claudeapi.core.environment import Setting
from claudeapi.settings_table import SECTIONS, TABLE

HEAD = """# Configuration

<!-- Made by `python manage.py config_reference` from claudeapi/settings_table.py. -->

Everything is set by environment variables; with none set the server runs for development. A
wrong value is a system check error at start, which names the variable and what is allowed. An
empty variable counts as not set.

Some settings are also options of one tree, as in the earlier implementation:

```json
{"enabled": true, "sessionTimeout": 3600000, "maxSessions": 1000,
 "auth": {"enabled": true, "apiKeys": ["..."], "requireAuth": ["POST /sessions/:id/messages"]},
 "rateLimit": {"enabled": true, "windowMs": 60000, "maxRequests": 1000}}
```

It is the variable `CLAUDE_CODE_API`, holding JSON, or the Django setting of that name, a dict,
in a settings module of your own that begins with `from claudeapi.settings import *`. The most
specific wins: a variable of its own, then the variable `CLAUDE_CODE_API`, then the setting. Keys
for clients add up from all of them.

The upstream is Anthropic with `ANTHROPIC_API_KEY`; a gateway with another `ANTHROPIC_BASE_URL`
(with or without a key); without both, the built-in simulator.
"""


class Command(BaseCommand):
    """Writes the page, or says that it is out of date."""

    help = "Write docs/configuration.md; with --check only compare."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """`--check` compares."""
        parser.add_argument("--check", action="store_true", help="fail if the page is not current")

    def handle(self, *args: Any, **arguments: Any) -> None:
        """Write or compare."""
        path = settings.BASE_DIR / "docs" / "configuration.md"
        if not arguments["check"]:
            path.write_text(page())
        elif not path.exists() or path.read_text() != page():
            raise CommandError(f"{path.name} is out of date: run manage.py config_reference.")


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *(_section(name) for name in SECTIONS)])


def _section(name: str) -> str:
    rows = "\n".join(_row(setting) for setting in TABLE if setting.section == name)
    return f"## {name}\n\n| variable | default | meaning |\n|---|---|---|\n{rows}\n"


def _row(setting: Setting) -> str:
    option = f"<br>option `{setting.option}`" if setting.option else ""
    meaning = setting.help
    if setting.kind.allowed not in ("text", "a list") and setting.kind.allowed not in meaning:
        allowed = setting.kind.allowed
        meaning += f" {allowed[0].upper()}{allowed[1:]}."
    return f"| `{setting.name}`{option} | {_default(setting)} | {meaning} |"


def _default(setting: Setting) -> str:
    if setting.shown_default:
        return setting.shown_default
    if setting.default in ((), "", None):
        return "none"
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    if isinstance(setting.default, tuple):
        return f"`{','.join(setting.default)}`"
    value = setting.default
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
