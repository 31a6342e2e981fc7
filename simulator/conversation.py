"""What a request says: its fields, and the user's own words among everything else.

Claude Code wraps the user's words in a lot of its own: ``<system-reminder>`` blocks, ``system``
messages, notes of an interruption, and it merges what followed an interruption into one user
message. So nothing here relies on message boundaries: blocks are read in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant", "system"]
Block = dict[str, Any]

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_NOTES = (
    "[Request interrupted by user",
    "Your response above was stopped by a safety classifier",
    "[Image: source: ",
)
"""How the texts begin that Claude Code writes as the user, about a reply or about a picture."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the request, a string content made into one text block."""

    role: Role
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A validated ``POST /v1/messages``. What the simulator has no use for is not kept."""

    model: str
    max_tokens: int
    stream: bool
    messages: tuple[Message, ...]
    tools: tuple[Block, ...] = ()
    tool_choice: Block | None = None
    schema: Block | None = None
    stop_sequences: tuple[str, ...] = ()
    user_id: str = ""

    def blocks(self) -> Iterator[tuple[Role, Block]]:
        """Every block of the conversation in order, with the role that wrote it."""
        for message in self.messages:
            for block in message.blocks:
                yield message.role, block

    def tool(self, name: str) -> Block | None:
        """The declared tool of that name."""
        return next((tool for tool in self.tools if tool.get("name") == name), None)


@dataclass(frozen=True, slots=True)
class Turn:
    """The user's last words and what has happened since.

    ``prompt`` is the last text the user wrote (empty if there is none), ``steps`` how many rounds
    of tool calls were answered after it, ``tool_results`` the results of the latest round in the
    order of the calls, ``earlier`` how many messages (of user and assistant) came before,
    ``first`` the words the conversation began with.
    """

    prompt: str
    steps: int
    tool_results: tuple[Block, ...]
    earlier: int
    first: str


def last_turn(request: Request) -> Turn:
    """Find the last user text and count the answered tool calls after it."""
    prompt = first = ""
    steps = messages = earlier = 0
    calls: list[str] = []
    results: list[Block] = []
    previous_role = ""
    for role, block in request.blocks():
        if role == "system":
            continue
        if role != previous_role:
            messages += 1
            previous_role = role
        if role == "assistant":
            if block["type"] == "tool_use":
                calls = [block["id"]] if results else [*calls, block["id"]]
                results = []
            continue
        if block["type"] == "tool_result":
            if not results:
                steps += 1
            results.append(block)
        elif words := user_words(block):
            prompt, steps, calls, results, earlier = words, 0, [], [], messages - 1
            first = first or words
    # Claude Code sends the results of parallel calls in the order in which the calls ended.
    results.sort(key=lambda result: calls.index(result["tool_use_id"]))
    return Turn(prompt, steps, tuple(results), earlier, first)


def user_words(block: Block) -> str:
    """The user's own words in a block: no reminders, none of Claude Code's notes."""
    if block["type"] != "text":
        return ""
    words = _REMINDER.sub("", block["text"]).strip()
    return "" if words.startswith(_NOTES) else words


def result_text(block: Block) -> str:
    """The text of a ``tool_result`` block, without reminders."""
    content = block.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(part.get("text", f"[{part['type']}]") for part in content)
    return _REMINDER.sub("", content).strip()
