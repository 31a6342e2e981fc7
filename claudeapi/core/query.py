"""A request's query, as strict as its body."""

from __future__ import annotations

from urllib.parse import parse_qsl

from claudeapi.core.errors import InvalidRequest

MAX_PARAMETERS = 1000


def parse_query(text: bytes) -> dict[str, str]:
    """The parameters; of one given twice, the last.

    Raises:
        InvalidRequest: not UTF-8, a NUL character, which no database keeps, or far too many.
    """
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise InvalidRequest("The query is not UTF-8.") from None
    except ValueError:
        raise InvalidRequest("The query has too many parameters.") from None
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise InvalidRequest.field(
                name.replace("\x00", "") or "query", "NUL characters are not allowed."
            )
    return dict(pairs)
