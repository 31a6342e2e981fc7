"""DRF's edges: strict JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.utils.functional import Promise
from django.views import View
from rest_framework import exceptions, serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.settings import api_settings

from claudeapi.core import errors
from claudeapi.core.json_body import parse_json
from claudeapi.core.media import acceptable, accepted, is_encoded

# OPTIONS is 405 on every route, so `Allow` does not name it; a preflight never comes this far.
HTTP_METHODS = tuple(name for name in View.http_method_names if name != "options")

# A body may have a million names, and DRF makes an error of each that it is told of.
MOST_UNKNOWN = 20


class JSONParser(BaseParser):
    """Strict JSON: see `parse_json`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The object in the body."""
        return parse_json(stream.read())


class JSONRenderer(BaseRenderer):
    """JSON as on the rest of the wire: decimals as texts, times in UTC with milliseconds."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, context: Any = None) -> bytes:
        """The body's bytes; none for an empty answer."""
        if data is None:
            return b""
        return orjson.dumps(data, default=_to_json, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return errors.timestamp(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


class ContentNegotiation(DefaultContentNegotiation):
    """Only `application/json` comes in; what goes out is refused (406) by JSON views alone."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The JSON parser, or None (415) for a body of another type, or a compressed one."""
        if is_encoded(request.headers):
            return None
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((one for one in parsers if one.media_type == media_type), None)

    def get_accept_list(self, request: Request) -> list[str]:
        """The media types asked for."""
        return accepted(request.headers)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """As DRF does it, but for clients of a stream, which may get an error, and for pages."""
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            if acceptable(request.headers) or renderers[0].media_type != "application/json":
                return renderers[0], renderers[0].media_type
            raise


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that names fields it does not know, instead of dropping them.

    Of very many it names some, and tells how many more there are.
    """

    def to_internal_value(self, data: Any) -> Any:
        """The validated values.

        Raises:
            ValidationError: of all fields at once, the unknown ones too.
        """
        unknown = self._unknown(data)
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **unknown}) from None
            raise
        if unknown:
            raise serializers.ValidationError(unknown)
        return values

    def _unknown(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            return {}
        known = {name for name, field in self.fields.items() if not field.read_only}
        names = [str(name) for name in data if name not in known]
        problems = {name: ["This field is not known."] for name in names[:MOST_UNKNOWN]}
        if more := len(names) - len(problems):
            problems[api_settings.NON_FIELD_ERRORS_KEY] = [f"Not known either: {more} more."]
        return problems
