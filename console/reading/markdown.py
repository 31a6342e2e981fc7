"""Markdown of strangers as HTML that runs nothing and loads nothing.

No HTML passes, links go to the web or to mail and say where, pictures are not loaded but
linked. The page's Content-Security-Policy is the second wall, not the first.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import getLine, table
from markdown_it.token import Token

from console.reading.room import Room
from console.reading.text import prose

MAX_CHARACTERS = 60_000
"""Beyond it a text is shown as it is: rendering a novel on every look helps nobody."""

MAX_LINKS = 500
"""More are shown as their texts: nobody follows them, and each takes its time."""

Env = MutableMapping[str, Any]
_OPEN, _COUNT, _ROOM = "cv_open_link", "cv_links", "cv_room"

_SCHEMES = ("http", "https", "mailto")


def render(text: str, room: Room | None = None) -> SafeString:
    """Markdown as HTML; what is longer than `MAX_CHARACTERS`, or finds no room, as plain text.

    Args:
        room: what the page has left; None: the text has a page's room for itself.
    """
    shown = prose(text)
    room = room or Room()
    if len(shown) > min(MAX_CHARACTERS, room.characters):
        return mark_safe(f'<pre class="cv-plain">{escape(shown)}</pre>')
    room.characters -= len(shown)
    # Safe by construction: every rule of the renderer escapes what it was given.
    return mark_safe(str(_PARSER.render(shown, {_ROOM: room})))


def is_linkable(url: str) -> bool:
    """Whether a link may lead there: the web and mail, in full, and nothing of this site."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    if parts.scheme.lower() not in _SCHEMES:
        return False
    return bool(parts.netloc) or parts.scheme.lower() == "mailto"


def host_of(url: str) -> str:
    """Where a link leads, as plainly as it can be said."""
    parts = urlsplit(url)
    if parts.scheme.lower() == "mailto":
        return parts.path
    return parts.netloc.rpartition("@")[2]


class _Renderer(RendererHTML):
    """Markdown-it's renderer with links that say where they go, and pictures as links."""

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """The beginning of a link; beyond `MAX_LINKS` its text alone."""
        env[_COUNT] = env.get(_COUNT, 0) + 1
        url = str(tokens[idx].attrGet("href") or "")
        env[_OPEN] = (idx, url)
        return _opened(url) if env[_COUNT] <= MAX_LINKS else ""

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """The end of a link, and the host behind it unless its text is the address itself."""
        start, url = env.pop(_OPEN)
        if env[_COUNT] > MAX_LINKS:
            return ""
        return _closed(url, "".join(token.content for token in tokens[start + 1 : idx]))

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """A picture is linked, not loaded: loading tells a stranger who looked, and when."""
        token = tokens[idx]
        url = str(token.attrGet("src") or "")
        told = self.renderInlineAsText(token.children, options, env) or "picture"
        shown = f'<span class="cv-picture">{escape(told)}</span>'
        env[_COUNT] = env.get(_COUNT, 0) + 1
        # Inside a link there is no second one.
        if _OPEN in env or env[_COUNT] > MAX_LINKS:
            return shown
        return f"{_opened(url)}{shown}{_closed(url, told)}"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """A cell of a table's head."""
        return _cell(tokens[idx])

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """A cell of a table."""
        return _cell(tokens[idx])

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        """A block of code; its language is a caption, not a class."""
        token = tokens[idx]
        language = token.info.strip().split(" ", 1)[0][:40]
        caption = f'<span class="cv-language">{escape(language)}</span>' if language else ""
        shown = escape(token.content)
        return f'<div class="cv-code">{caption}<pre><code>{shown}</code></pre></div>\n'


def _cell(token: Token) -> str:
    """A cell, aligned by a class: the policy of our pages refuses `style` attributes."""
    asked = str(token.attrGet("style") or "").rpartition(":")[2]
    aligned = f' class="cv-{asked}"' if asked in ("left", "center", "right") else ""
    return f"<{token.tag}{aligned}>"


def _opened(url: str) -> str:
    return (
        f'<a href="{escape(url)}" rel="noopener noreferrer nofollow ugc" target="_blank"'
        ' referrerpolicy="no-referrer">'
    )


def _closed(url: str, told: str) -> str:
    host = host_of(url)
    if not host or told.strip() == url:
        return "</a>"
    return f'</a> <span class="cv-host">({escape(host)})</span>'


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table as far as there is room; the lines beyond it stay a paragraph."""
    if not table(state, start, end, True):
        return False
    room: Room = state.env[_ROOM]
    # The line below the head is exact: none of its cells may be empty.
    columns = len(getLine(state, start + 1).strip(" \t|").split("|"))
    rows = room.cells // columns
    if rows < 2:
        return False
    if not silent:
        table(state, start, min(end, start + 1 + rows), False)
        room.cells -= columns * (state.line - start - 1)
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark", {"html": False, "linkify": False}, renderer_cls=_Renderer
    ).enable(["table", "strikethrough"])
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.validateLink = is_linkable  # type: ignore[method-assign]
    return parser


_PARSER = _parser()
