"""The project as a Django app: it has checks and commands, and no models."""

from __future__ import annotations

import os

from django.apps import AppConfig
from django.conf import settings

from claudeapi import conf


class ClaudeApiConfig(AppConfig):
    """Settles the options, and registers the system checks."""

    name = "claudeapi"

    def ready(self) -> None:
        """Read the options, then import what registers itself: it needs the apps to be loaded.

        Here, since a settings module that imports ours sets its `CLAUDE_CODE_API` after ours
        has run. This app is the first, so nobody has asked for options yet.
        """
        settings.LOADED = conf.load(os.environ, settings.CLAUDE_CODE_API)
        settings.OPTIONS = settings.LOADED.options
        from claudeapi import checks, openapi  # noqa: F401
