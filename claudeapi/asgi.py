"""The ASGI application: what every server serves."""

from __future__ import annotations

import os
from typing import cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claudeapi.settings")
# Django must be set up before anything that imports models.
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402

from claudeapi.conf import options  # noqa: E402
from claudeapi.core.asgi_types import App  # noqa: E402
from claudeapi.core.cors import Cors  # noqa: E402
from claudeapi.core.django_handler import ThreadedHandler  # noqa: E402
from claudeapi.core.edge import Edge  # noqa: E402
from claudeapi.core.lifecycle import Lifespan  # noqa: E402
from claudeapi.routing import Router  # noqa: E402

# `serve` and `runserver` have said so in a system check; any other server runs none, and what is
# wrong counts as its default: ENVIRONMENT=prod as development.
if settings.LOADED.problems:
    raise ImproperlyConfigured("\n".join(problem.message for problem in settings.LOADED.problems))

_inside = Lifespan(Router(cast(App, ThreadedHandler())))
application = Edge(_inside, options().max_body_bytes, Cors(options().cors_allowed_origins))
