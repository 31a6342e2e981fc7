"""Puts people, sessions and approvals into a running server's database.

Run as a program, with the server's environment; prints what it made as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.server_process import ROOT, START_SECONDS

PASSWORD = "correct horse battery staple"
PEOPLE = {"vera": "viewer", "anna": "approver", "otto": "operator", "olga": "operator"}


def stage(env: dict[str, str], *wanted: str) -> dict[str, Any]:
    """Make `people`, a `hostile` session, `approvals` or none of them; returns the ids."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.console.staging", *wanted],
        cwd=ROOT,
        env={**env, "DJANGO_SETTINGS_MODULE": "claudeapi.settings"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=START_SECONDS,
        check=True,
    )
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def _people() -> dict[str, Any]:
    from django.contrib.auth.models import Group, User

    for name, role in PEOPLE.items():
        user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
        user.set_password(PASSWORD)
        user.save()
        user.groups.set([Group.objects.get(name=role)])
    return {}


def _session(**fields: Any) -> Any:
    from django.utils import timezone

    from keys_app.models import ApiKey
    from sessions_app.models import Session

    key, _ = ApiKey.objects.issue(fields.pop("key_name", "Alice's key"))
    return Session.objects.create(
        key=key,
        engine="claude-code",
        model="claude-sonnet-5-5",
        timeout_ms=3_600_000,
        expires_at=timezone.now() + timedelta(hours=1),
        **fields,
    )


def _run(session: Any, **fields: Any) -> Any:
    from sessions_app.models import Run

    return Run.objects.create(session=session, key=session.key, prompt=[], **fields)


def _waiting_run(session: Any) -> Any:
    from sessions_app.models import ServerProcess

    owner = ServerProcess.objects.order_by("-heartbeat_at")[0].pk
    return _run(session, status="waiting", owner=owner, model="claude-sonnet-5-5")


def _approvals() -> dict[str, Any]:
    from django.utils import timezone

    from sessions_app.models import Approval

    session = _session(title="Repair the shop")
    run = _waiting_run(session)

    def ask(tool: str, given: dict[str, Any], seconds: int, *grants: str) -> str:
        row = Approval.objects.create(
            session=session,
            run=run,
            tool_name=tool,
            input=given,
            suggestions=[_granting(name) for name in grants],
            expires_at=timezone.now() + timedelta(seconds=seconds),
        )
        return str(row.pk)

    edit = {"file_path": "a.py", "old_string": "x = 1\n", "new_string": "x = 2\n"}
    asked = {"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}
    return {
        "session": str(session.pk),
        "bash": ask("Bash", {"command": "rm -rf build"}, 400),
        "edit": ask("Edit", edit, 410),
        "question": ask("AskUserQuestion", {"questions": [asked]}, 420),
        "other": ask("WebFetch", {"url": "https://example.com"}, 430),
        "granting": ask("WebSearch", {"query": "weather"}, 440, "WebSearch"),
        "long": ask("WebFetch", {"url": "x" * 30_000}, 450),
    }


def _granting(tool: str) -> dict[str, Any]:
    return {"type": "addRules", "behavior": "allow", "rules": [{"toolName": tool}]}


def _no_approvals() -> dict[str, Any]:
    from sessions_app.models import Approval

    Approval.objects.all().delete()
    return {}


def _hostile() -> dict[str, Any]:
    from django.utils import timezone

    from sessions_app import agents
    from sessions_app.models import Approval, Message
    from tests.console.hostile import TEXTS

    shown = [text.replace("\x00", "") for text in TEXTS]
    session = _session(
        title=shown[0],
        key_name=shown[9],
        system_prompt="\n".join(shown),
        metadata=dict.fromkeys(shown[:20], shown[1]),
        claude_session_id=shown[3][:60],
        last_event_id=1000,
        reserved_event_id=1000,
    )
    done = {"status": "failed", "finished_at": timezone.now(), "model": shown[0][:100]}
    run = _run(session, request_id=shown[9], error=_error(shown), **done)
    Message.objects.bulk_create(_messages(session, run, TEXTS))
    waiting = _waiting_run(session)
    tools = ("Bash", "Edit", "Write", "ExitPlanMode", "AskUserQuestion", shown[0][:100])
    for tool in tools:
        Approval.objects.create(
            session=session,
            run=waiting,
            tool_name=tool,
            input=_input("\n".join(TEXTS)),
            reason=shown[9],
            suggestions=shown[:5],
            expires_at=timezone.now() + timedelta(minutes=10),
        )
    _files(agents.workspaces().private(str(session.key_id), str(session.pk)), shown)
    return {"session": str(session.pk), "count": len(TEXTS)}


def _error(shown: list[str]) -> dict[str, Any]:
    return {"code": shown[0], "message": shown[9], "details": {shown[1]: shown[2]}}


def _input(text: str) -> dict[str, Any]:
    option = {"label": text[:300], "description": text}
    return {
        "command": text,
        "file_path": text[:500],
        "old_string": text,
        "new_string": text[::-1],
        "content": text,
        "plan": text,
        "questions": [{"question": text[:500], "header": text[:50], "options": [option]}],
    }


def _messages(session: Any, run: Any, texts: Iterable[str]) -> Iterable[Any]:
    from sessions_app.models import Message

    # Each as a prompt, a reply, a thought, a tool call's name and input, and its result.
    for number, text in enumerate(texts, start=1):
        call = {
            "type": "tool_use",
            "id": f"{number}{text[:40]}",
            "name": text,
            "input": {text: text},
        }
        reply = [{"type": "text", "text": text}, {"type": "thinking", "thinking": text}, call]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": text}
        said = [{"type": "text", "text": text}, result, {"type": text}]
        for at, (kind, content) in enumerate((("assistant", reply), ("user", said))):
            yield Message(
                session=session,
                run=run,
                sequence=number * 2 + at,
                type=kind,
                source="user" if at else "sdk",
                content={"type": kind, "message": {"role": kind, "content": content}},
            )


def _files(root: Path, shown: list[str]) -> None:
    root.mkdir(parents=True)
    for number, text in enumerate(shown):
        name = text.replace("/", "\N{DIVISION SLASH}")[:60]
        try:
            (root / f"{number} {name}").write_text(text, errors="replace")
        except (OSError, UnicodeEncodeError, ValueError):
            continue  # a name that this file system does not take
    (root / "out").symlink_to("/etc/passwd")


MAKERS = {
    "people": _people,
    "approvals": _approvals,
    "no_approvals": _no_approvals,
    "hostile": _hostile,
}

if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claudeapi.settings")
    django.setup()
    made: dict[str, Any] = {}
    for name in sys.argv[1:]:
        made |= MAKERS[name]()
    print(json.dumps(made))
