"""What a client sends and takes, by its headers: the same for Django's routes and the streams."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.utils.mediatypes import media_type_matches

# A client of a stream may be answered with an error, and one of JSON with a stream it asked for.
OFFERED = ("application/json", "text/event-stream")


def accepted(headers: Mapping[str, str]) -> list[str]:
    """The media types of the Accept header; where none is named, any is as good."""
    asked = headers.get("accept", "").split(",")
    return [one.strip() for one in asked if one.strip()] or ["*/*"]


def acceptable(headers: Mapping[str, str]) -> bool:
    """Whether the client takes what the API answers with."""
    return any(media_type_matches(kind, one) for kind in OFFERED for one in accepted(headers))


def is_encoded(headers: Mapping[str, str]) -> bool:
    """Whether the body is compressed, which nothing here undoes."""
    return headers.get("content-encoding", "").strip().lower() not in ("", "identity")
