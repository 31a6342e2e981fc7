"""Sessions as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Registers the app's part in a server's life."""

    name = "sessions_app"
    verbose_name = "Sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import what needs the models to be loaded."""
        from sessions_app import checks, service  # noqa: F401 - the checks register themselves

        service.register()
