"""Static files of the installed apps, straight from their packages: nothing to collect."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from claudeapi.core.asgi_types import Receive, Scope, Send
from claudeapi.core.errors import MethodNotAllowed, NotFound


class PackagedStaticFiles:
    """ASGI: serves what lies below `STATIC_URL`.

    The admin and the API docs are all that need it, so revalidation by ETag is enough.
    """

    def __init__(self) -> None:
        packages = [
            (config.name, "static")
            for config in apps.get_app_configs()
            if (Path(config.path) / "static").is_dir()
        ]
        self._files = StaticFiles(packages=list(packages))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file.

        Raises:
            NotFound: there is none of this name.
            MethodNotAllowed: only GET and HEAD are.
        """
        try:
            response = await self._files.get_response(self._files.get_path(scope), scope)
        except HTTPException as error:
            if error.status_code == 405:
                raise MethodNotAllowed(headers={"Allow": "GET, HEAD"}) from None
            raise NotFound from None
        response.headers["X-Content-Type-Options"] = "nosniff"
        await response(scope, receive, send)
