"""Django's settings: one file, typed values from the environment, runs with nothing set.

What can be configured is in `claudeapi.settings_table`; what is wrong with it is reported by
the system checks in `claudeapi.checks`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django_stubs_ext

from claudeapi import __version__, conf
from claudeapi.core.database_url import database
from claudeapi.core.logging import configure as configure_logging
from claudeapi.core.secret_key import kept_in, made

# Django's classes as the type checker knows them: `TextField[str]`, `ModelAdmin[ApiKey]`.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

# The option tree, for those who import these settings into their own module: nothing below
# depends on it, and `claudeapi.apps` reads it when all settings are known.
CLAUDE_CODE_API: dict[str, Any] = {}

LOADED = conf.load(os.environ, CLAUDE_CODE_API)
OPTIONS = LOADED.options
_env = LOADED.values

PRODUCTION = _env["ENVIRONMENT"] == "production"
DEBUG = _env["DEBUG"]
try:
    SECRET_KEY = _env["SECRET_KEY"] or kept_in(OPTIONS.data_dir)
except OSError:
    SECRET_KEY = made()  # for the system checks alone, which tell of DATA_DIR
ALLOWED_HOSTS = list(_env["ALLOWED_HOSTS"]) or ["localhost", "127.0.0.1", "[::1]"]
if not _env["ALLOWED_HOSTS"] and OPTIONS.host not in ("0.0.0.0", "::"):
    ALLOWED_HOSTS.append(f"[{OPTIONS.host}]" if ":" in OPTIONS.host else OPTIONS.host)

INSTALLED_APPS = [
    # First, so that their `runserver` is the one: ours, which is daphne's with an upstream.
    "claudeapi",
    "daphne",
    "console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_ratelimit",
    "keys_app",
    "sessions_app",
    "console.apps.ConsoleConfig",
    "simulator",
]

# Request ids, hosts, body bounds, CORS and the last error handler are in `core.edge`, around
# Django and the streams alike.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.middleware.ConsoleMiddleware",
]

ROOT_URLCONF = "claudeapi.urls"
ASGI_APPLICATION = "claudeapi.asgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The bound of every body is the edge's, which refuses it before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = OPTIONS.max_body_bytes

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": database(_env["DATABASE_URL"], OPTIONS.data_dir, _env["DATABASE_POOL_SIZE"])
}

CACHES: dict[str, Any]
CHANNEL_LAYERS: dict[str, Any]
if OPTIONS.redis_url:
    CACHES = {
        "default": {
            "BACKEND": "claudeapi.core.cache.SharedRedisCache",
            "LOCATION": OPTIONS.redis_url,
            "KEY_PREFIX": "claudeapi",
            # A Redis that hangs must not hold a request's thread for long.
            "OPTIONS": {"socket_timeout": 5.0, "socket_connect_timeout": 5.0},
        }
    }
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [OPTIONS.redis_url], "prefix": "claudeapi"},
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # A count that is dropped for want of room is a limit that is not kept.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }
    CHANNEL_LAYERS = {}

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["console.formats"]

# Served from the packages themselves by `core.static`; `collectstatic` is for those who let
# nginx do it.
STATIC_URL = "/static/"
STATIC_ROOT = OPTIONS.data_dir / "static"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
SESSION_COOKIE_NAME = "claudeapi_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Unused for so long, a sign-in to the console ends; see `console.sign_in.lifetime`.
SESSION_COOKIE_AGE = 2 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_NAME = "claudeapi_csrf"
CSRF_FAILURE_VIEW = "console.failures.forged"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Sent over TLS only, so it hurts nobody who serves plain HTTP inside a network.
SECURE_HSTS_SECONDS = 30 * 86400 if PRODUCTION else 0

SILENCED_SYSTEM_CHECKS = [
    # TLS ends at the proxy in front, which redirects; probes of /readyz come without TLS.
    "security.W008",
    # Whether the domains above and below ours serve TLS is not ours to say.
    "security.W005",
    "security.W021",
    # In-process counting is right for one process; claudeapi.E010 refuses it for several.
    "django_ratelimit.E003",
    "django_ratelimit.W001",
]

REST_FRAMEWORK = {
    # `KeyApiView` brings authentication; a view that forgets it is closed, not open.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["claudeapi.core.drf.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["claudeapi.core.drf.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "claudeapi.core.drf.ContentNegotiation",
    # OPTIONS is 405, and a preflight is the CORS layer's: DRF's own answer needs serializers.
    "DEFAULT_METADATA_CLASS": None,
    # `?format=` is a parameter like any other, and unknown.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "claudeapi.core.exceptions.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "claudeapi",
    "DESCRIPTION": "Claude sessions over REST, server-sent events and WebSocket.",
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    # `make check` looks at the schema; production should not make one at every start.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "validatorUrl": None,
        "persistAuthorization": True,
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "sessions_app.api.schema_fields.complete",
        "claudeapi.openapi.finish",
    ],
}

LOGGING_CONFIG = None
configure_logging(_env["LOG_LEVEL"], _env["LOG_FORMAT"], production=PRODUCTION)
