"""The Django application of keys, limits and budgets."""

from __future__ import annotations

from django.apps import AppConfig


class KeysConfig(AppConfig):
    """API keys: who may do what, how often, for how much."""

    name = "keys_app"
    verbose_name = "API keys"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register system checks, and the app's part in a server's life."""
        from keys_app import checks, service  # noqa: F401  (models must be loaded first)

        service.register()
