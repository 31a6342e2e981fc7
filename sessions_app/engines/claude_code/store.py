"""Transcripts outside the agent's disk, so that a session can resume on any machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import uuid4

import orjson
from claude_agent_sdk import SessionKey, SessionStore, fork_session_via_store
from claude_agent_sdk.types import SessionListSubkeysKey, SessionStoreEntry

from claudeapi.core import trees
from claudeapi.core.errors import InvalidRequest

Entry = dict[str, Any]
"""One line of a transcript, opaque to us."""

MAIN = ""
"""The subpath of a conversation's own transcript; its subagents have others."""

# The agent would add its earlier costs to every sum; ours are taken from a process's start.
_SPOKEN = frozenset({"user", "assistant"})
_NOT_RESTORED = frozenset({"cost-state"})
_SAFE_SUBPATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class TranscriptRepository(Protocol):
    """Where transcripts are kept, by conversation and subpath.

    `append` keeps the order of its calls and ignores an entry whose `uuid` (where it has
    one) is there already: a batch may come twice. `load` answers None for what was never
    written. `delete` without a subpath removes the conversation with all its subpaths.

    Who starts an agent on a conversation claims it before loading it. From then on `append`
    refuses what comes with an earlier claim, whichever server it comes from: it adds nothing
    and answers False. Without a claim it takes everything.
    """

    async def claim(self, conversation: str) -> str:
        """Become the only one who adds to a conversation."""
        ...

    async def append(
        self, conversation: str, subpath: str, entries: Sequence[Entry], claim: str | None = None
    ) -> bool:
        """Add entries at the end; False where the claim is over."""
        ...

    async def load(self, conversation: str, subpath: str) -> list[Entry] | None:
        """All entries, in order."""
        ...

    async def list_subkeys(self, conversation: str) -> list[str]:
        """The subpaths there are, without the main one."""
        ...

    async def delete(self, conversation: str, subpath: str | None = None) -> None:
        """Remove a conversation, or one subpath of it."""
        ...


class MemoryTranscripts:
    """A `TranscriptRepository` that lasts as long as the process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[Entry]] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._claims: dict[str, str] = {}

    async def claim(self, conversation: str) -> str:
        """See `TranscriptRepository.claim`."""
        self._claims[conversation] = uuid4().hex
        return self._claims[conversation]

    async def append(
        self, conversation: str, subpath: str, entries: Sequence[Entry], claim: str | None = None
    ) -> bool:
        """See `TranscriptRepository.append`."""
        if claim not in (None, self._claims.get(conversation)):
            return False
        kept = self._kept.setdefault((conversation, subpath), [])
        seen = self._seen.setdefault((conversation, subpath), set())
        for entry in entries:
            uuid = entry.get("uuid")
            if uuid is None or uuid not in seen:
                kept.append(entry)
            if uuid is not None:
                seen.add(uuid)
        return True

    async def load(self, conversation: str, subpath: str) -> list[Entry] | None:
        """See `TranscriptRepository.load`."""
        kept = self._kept.get((conversation, subpath))
        return None if kept is None else list(kept)

    async def list_subkeys(self, conversation: str) -> list[str]:
        """See `TranscriptRepository.list_subkeys`."""
        return [sub for name, sub in self._kept if name == conversation and sub != MAIN]

    async def delete(self, conversation: str, subpath: str | None = None) -> None:
        """See `TranscriptRepository.delete`."""
        if subpath is None:
            self._claims.pop(conversation, None)
        for key in tuple(self._kept):
            if key[0] == conversation and subpath in (None, key[1]):
                self._kept.pop(key)
                self._seen.pop(key, None)


def session_store(
    repository: TranscriptRepository,
    name: Callable[[SessionKey | SessionListSubkeysKey], str],
    claim: Claim | None = None,
) -> SessionStore:
    """A repository as the SDK wants it."""
    return cast("SessionStore", TranscriptStore(repository, name, claim))


def by_project(key: SessionKey | SessionListSubkeysKey) -> str:
    """Name a conversation by its folder and id, as the SDK does."""
    return f"{key['project_key']}/{key['session_id']}"


def by_id(key: SessionKey | SessionListSubkeysKey) -> str:
    """Name a conversation by its id alone: it may move between folders and machines."""
    return key["session_id"]


def only(conversation: str) -> Callable[[SessionKey | SessionListSubkeysKey], str]:
    """Name a conversation by its id, and refuse every other.

    A tool can write into the output of its own agent. It must not reach another's
    transcript that way.
    """

    def name(key: SessionKey | SessionListSubkeysKey) -> str:
        if key["session_id"] != conversation:
            raise PermissionError("A transcript of another session was offered.")
        return conversation

    return name


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to add to a conversation, and whom to tell when another has taken it."""

    token: str
    on_lost: Callable[[], None]


class TranscriptStore:
    """A `TranscriptRepository` as the SDK's session store.

    The protocol's optional methods that we do not have are left out, so it is no subclass.

    Args:
        name: how a key of the SDK's becomes the name of a conversation.
        claim: the agent's; None adds without.
    """

    def __init__(
        self,
        repository: TranscriptRepository,
        name: Callable[[SessionKey | SessionListSubkeysKey], str] = by_project,
        claim: Claim | None = None,
    ) -> None:
        self._repository = repository
        self._name = name
        self._claim = claim

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Add transcript lines. Those of a lost claim are dropped: another try is no use."""
        lines, claim = cast("list[Entry]", entries), self._claim
        place = self._name(key), key.get("subpath") or MAIN
        kept = await self._repository.append(*place, lines, claim.token if claim else None)
        if claim is not None and not kept:
            claim.on_lost()

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Read transcript lines."""
        lines = await self._repository.load(self._name(key), key.get("subpath") or MAIN)
        return cast("list[SessionStoreEntry] | None", lines)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The subagents' transcripts."""
        return await self._repository.list_subkeys(self._name(key))

    async def delete(self, key: SessionKey) -> None:
        """Remove a transcript; the main one with all its subagents'."""
        await self._repository.delete(self._name(key), key.get("subpath"))


async def restore(
    repository: TranscriptRepository, conversation: str, config: Path, project: str
) -> bool:
    """Write a conversation where the agent looks for it; False if there is none.

    Args:
        config: the agent's config folder, where the agent may have put whatever it likes.
        project: the name of the folder in its `projects`.
    """
    place = ("projects", project, f"{conversation}.jsonl")
    entries = await repository.load(conversation, MAIN)
    if not entries:
        await asyncio.to_thread(trees.remove_below, config, place)
        return False
    files: dict[tuple[str, ...], list[Entry]] = {place: entries}
    for subpath in await repository.list_subkeys(conversation):
        if _SAFE_SUBPATH.fullmatch(subpath):
            below = ("projects", project, conversation, *f"{subpath}.jsonl".split("/"))
            files[below] = await repository.load(conversation, subpath) or []
    await asyncio.to_thread(_write, config, files)
    return True


def _write(config: Path, files: dict[tuple[str, ...], list[Entry]]) -> None:
    for place, entries in files.items():
        lines = [entry for entry in entries if entry.get("type") not in _NOT_RESTORED]
        metadata = [entry for entry in lines if entry.get("type") == "agent_metadata"]
        with trees.written(config, place) as file:
            for entry in lines:
                if entry.get("type") != "agent_metadata":
                    file.write(orjson.dumps(entry) + b"\n")
        if metadata:
            meta = {key: value for key, value in metadata[-1].items() if key != "type"}
            beside = (*place[:-1], place[-1].removesuffix(".jsonl") + ".meta.json")
            with trees.written(config, beside) as file:
                file.write(orjson.dumps(meta))


async def fork(repository: TranscriptRepository, conversation: str, at: str | None = None) -> str:
    """Copy a conversation under a new id, which is returned.

    Args:
        at: the `uuid` of the last message to keep; None keeps all.

    Raises:
        InvalidRequest: there is no such conversation or message, or it is empty.
    """
    try:
        copy = await fork_session_via_store(
            session_store(repository, by_id), conversation, up_to_message_id=at
        )
    except (ValueError, FileNotFoundError) as error:
        raise InvalidRequest("There is nothing to branch from.") from error
    return copy.session_id


async def import_transcript(
    repository: TranscriptRepository, conversation: str, lines: Iterable[bytes]
) -> int:
    """Take over a transcript file of Claude Code's under an id of ours; how many entries.

    Raises:
        InvalidRequest: a line is not JSON, or a message could not be carried on; or there is
            no message in it.
    """
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            entries.append(_entry(line, number, conversation))
    if not any(entry.get("type") in _SPOKEN for entry in entries):
        raise InvalidRequest("The file has no messages in it.")
    await repository.delete(conversation)
    await repository.append(conversation, MAIN, entries)
    return len(entries)


def _entry(line: bytes, number: int, conversation: str) -> Entry:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"Line {number} is not JSON.") from error
    if not isinstance(entry, dict):
        raise InvalidRequest(f"Line {number} is not an object.")
    if entry.get("type") in _SPOKEN and (lacking := _lacking(entry)):
        raise InvalidRequest(
            f"Line {number} is no message as Claude Code writes them: see its {lacking}."
        )
    if "sessionId" in entry:
        entry["sessionId"] = conversation
    return entry


def _lacking(entry: Entry) -> str:
    """The first field without which Claude Code would not find, or not understand, a message."""
    for name in ("uuid", "sessionId"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            return name
    if not isinstance(entry.get("parentUuid", False), str | None):
        return "parentUuid"
    message = entry.get("message")
    if not isinstance(message, dict) or message.get("role") != entry["type"]:
        return "message"
    if not isinstance(message.get("content"), str | list):
        return "message.content"
    if entry["type"] == "assistant" and not isinstance(message.get("id"), str):
        return "message.id"
    return ""
