"""The pages of a session's workspace files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from console import audit, roles
from console.pages import page
from console.reading import files, names
from console.reading.text import code
from console.sessions import reading
from sessions_app import agents
from sessions_app.models import Session

PIECE = 256 * 1024


def workspace(session: Session) -> Path:
    """The session's private folder.

    Raises:
        Http404: it works elsewhere, or not with files.
    """
    folder = agents.private_folder(session)
    if folder is None:
        raise Http404("This session has no workspace of its own.")
    return folder


@require_GET
@roles.needs(roles.VIEW_SESSIONS)
def browse(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A folder's content, or the beginning of a file's."""
    session = reading.find(session_id)
    root, path = workspace(session), request.GET.get("path", "").strip("/")
    extra = {"session": session, "path": path, "trail": _trail(path), "listing": None}
    try:
        extra["listing"] = files.listing(root, path)
    except files.NoSuchFile:
        extra |= _file(root, path)
    names.name_all([session])
    title = path.rpartition("/")[2] or f"Files of {names.name_of(session)}"
    return page(request, "sessions/files.html", title, **extra)


def _file(root: Path, path: str) -> dict[str, object]:
    if not path:
        return {"is_empty": True}
    try:
        content, size = files.beginning(root, path)
    except files.NoSuchFile as error:
        raise Http404("There is no such file.") from error
    text = files.text_of(content)
    return {
        "text": None if text is None else code(text),
        "size": size,
        "left_out": max(0, size - len(content)),
    }


@require_GET
@roles.needs(roles.EXPORT_SESSIONS)
def download(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    """One file, as it is, never to be opened inside this site."""
    session = reading.find(session_id)
    path = request.GET.get("path", "").strip("/")
    try:
        with files.opened(workspace(session), path) as (handle, facts):
            kept = os.fdopen(os.dup(handle), "rb", buffering=0)
    except files.NoSuchFile as error:
        raise Http404("There is no such file.") from error
    audit.record(request.user, "session.file_downloaded", session, path=path[:500])
    response = StreamingHttpResponse(
        _pieces(kept, facts.st_size), content_type="application/octet-stream"
    )
    name = path.rpartition("/")[2].encode("utf-8", "replace").decode()
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response["Content-Length"] = str(facts.st_size)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


async def _pieces(kept: FileIO, size: int) -> AsyncIterator[bytes]:
    """The file up to the size that was announced; one that shrank is filled up."""
    left = size
    with kept:
        while left:
            piece = await asyncio.to_thread(kept.read, min(PIECE, left))
            if not piece:
                piece = bytes(min(PIECE, left))
            left -= len(piece)
            yield piece


def _trail(path: str) -> list[tuple[str, str]]:
    names = [name for name in path.split("/") if name]
    return [(name, "/".join(names[: at + 1])) for at, name in enumerate(names)]
