"""The operator's console: Django's admin, extended."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    """The console's own models, pages and live feeds."""

    name = "console"
    verbose_name = "Console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to what sign-ins do, and to what is decided."""
        from console.approvals import record  # noqa: F401 - it registers itself
        from console.sign_in import signals

        signals.connect()


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with our site in the place of its own: `admin.site` is the console."""

    default_site = "console.site.ConsoleSite"
