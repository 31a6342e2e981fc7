"""A server with something to see on each page of the console, made as clients and staff make it."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import requests

from tests.console.staging import PASSWORD
from tests.server_process import ServerProcess, manage

PATIENCE = 60
PAST = """
import json
from datetime import timedelta
from decimal import Decimal
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone
from keys_app import budgets
from keys_app.models import ApiKey
from keys_app.presets import PRESETS
from sessions_app import runstats
from sessions_app.models import RunStat

with transaction.atomic():
    for name in ("viewer", "approver", "operator", "administrator"):
        user = User.objects.create_user(name, password="{password}", is_staff=True)
        user.groups.add(Group.objects.get(name=name))
    User.objects.create_superuser("root", password="{password}")
    now = timezone.now()
    owner = User.objects.get(username="operator")
    texts = {{}}
    for number, (name, preset, days) in enumerate((
        ("Web shop", "chat", 60), ("Night builds", "agent", 9), ("Dashboard", "read-only", 300),
    )):
        fields = PRESETS[preset].fields()
        fields["expires_at"] = now + timedelta(days=days)
        key, text = ApiKey.objects.issue(name, owner=owner, **fields)
        ApiKey.objects.filter(pk=key.pk).update(created_at=now - timedelta(days=120 - number))
        texts[name] = (str(key.pk), text)
        if preset == "read-only":
            continue
        engine = "claude-code" if preset == "agent" else "messages"
        for hour in range(1, 26 * 24):
            weight = (hour * 7919 * (number + 1)) % 11
            model = ("claude-sonnet-5", "claude-haiku-4-5")[hour % 2]
            used = dict(input_tokens=weight * 900, output_tokens=weight * 400)
            cost = Decimal(weight) * Decimal("0.0071")
            at = now - timedelta(hours=hour)
            budgets.record(key.pk, engine, model, runs=weight, cost_usd=cost, at=at, **used)
            code = "UPSTREAM_OVERLOADED" if hour % 9 == 0 else ""
            RunStat.objects.create(key=key, engine=engine, model=model, at=at, code=code, haste=4,
                runs=weight, cost_usd=cost, **used)
    ended, _ = ApiKey.objects.issue("Old laptop")
    ended.revoke()
    runstats.compact()
environment = str(ApiKey.objects.filter(source="environment")[0].pk)
print("made", json.dumps({{"keys": texts, "environment": environment}}))
"""

PLAIN_WORDS = """
import re
from sessions_app.models import Message, Run

def plain(value):
    if isinstance(value, str):
        return re.sub(r"\\s*\\[\\[sim .*?\\]\\]", "", value, flags=re.DOTALL)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value

for model, field in ((Message, "content"), (Run, "prompt")):
    for row in model.objects.all():
        model.objects.filter(pk=row.pk).update(**{field: plain(getattr(row, field))})
"""


def directive(name: str, **given: Any) -> str:
    """Lets the simulator call a tool."""
    return f"[[sim tool name={name} input='{json.dumps(given)}']]"


class Stage:
    """Two clients of a server, and what they do on it."""

    def __init__(self, server: ServerProcess) -> None:
        self.url, self.env = server.url, server.env
        said = manage("shell", "-c", PAST.format(password=PASSWORD), env=server.env)
        made = json.loads(said.partition("made ")[2])
        self.keys: dict[str, list[str]] = made["keys"]
        self.environment_key: str = made["environment"]

    def ask(self, who: str, method: str, path: str, **body: Any) -> Any:
        """One request with somebody's key; what it answers."""
        headers = {"x-api-key": self.keys[who][1]}
        url = f"{self.url}/api/v1{path}"
        answer = requests.request(method, url, headers=headers, json=body or None, timeout=PATIENCE)
        assert answer.ok, answer.text
        return answer.json()

    def begin(self, who: str, **fields: Any) -> str:
        """A new session; its id."""
        return str(self.ask(who, "POST", "/sessions", **fields)["sessionId"])

    def say(self, who: str, session: str, prompt: str, **fields: Any) -> Any:
        """A message to it."""
        return self.ask(who, "POST", f"/sessions/{session}/messages", prompt=prompt, **fields)

    def approvals(self, session: str) -> list[Any]:
        """What its agent waits for, once it does."""
        path = f"/sessions/{session}/approvals"
        asked = until(lambda: self.ask("Night builds", "GET", path)["approvals"])
        found: list[Any] = asked
        return found

    def allow(self, session: str) -> None:
        """Say yes to it."""
        path = f"/sessions/{session}/approvals/{self.approvals(session)[0]['approvalId']}"
        self.ask("Night builds", "POST", path, decision="allow")

    def play(self) -> dict[str, str]:
        """Conversations, an agent at work, two questions and a failure; their ids.

        What the simulator was told is taken out of the prompts afterwards.
        """
        shop = self.begin("Web shop", engine="messages", model="claude-sonnet-5")
        self.say("Web shop", shop, PLAIN)
        self.say("Web shop", shop, f'And as a table? [[sim text "{TABLE}"]]')
        failed = self.begin("Web shop", engine="messages", title="Too much at once")
        self.say("Web shop", failed, "Hello [[sim status 529]]", background=True)
        agent = self.begin("Night builds", engine="claude-code", title="Repair the price tests")
        self.say("Night builds", agent, WORK, background=True)
        for _ in range(2):
            self.allow(agent)
        asking = self.begin("Night builds", engine="claude-code", title="Release 2.4")
        self.say("Night builds", asking, ASKS, background=True)
        self.approvals(asking)
        self.approvals(agent)
        slow = self.begin("Web shop", engine="messages", title="A long answer")
        self.say("Web shop", slow, "Go on [[sim slow n=20000 delay=100ms]]", background=True)
        manage("shell", "-c", PLAIN_WORDS, env=self.env)
        return {"shop": shop, "failed": failed, "agent": agent, "asking": asking, "slow": slow}


PLAIN = (
    "Which of our shirts sell best in winter?\n"
    '[[sim text "The **flannel** ones do, by far:\\n\\n1. Flannel, long sleeves\\n'
    '2. Oxford\\n3. Linen, in the sale\\n\\n```python\\nshirts.order_by(\\"-sold\\")[:3]\\n```"]]'
)
TABLE = "| shirt | sold |\\n|---|--:|\\n| Flannel | 412 |\\n| Oxford | 280 |\\n| Linen | 37 |"
FILE = "def price(net, rate=0.19):\n    return round(net * (1 + rate), 2)\n"
TEST = "from price import price\n\n\ndef test_price():\n    assert price(100) == 119\n"
WORK = " ".join(
    (
        "The price tests fail since Tuesday. Please find out why, and repair it.",
        '[[sim text "I write down what is there first."]]',
        directive("Write", file_path="price.py", content=FILE),
        directive("Write", file_path="test_price.py", content=TEST),
        '[[sim text "The rate is a constant now; I make it an argument."]]',
        directive(
            "Edit",
            file_path="price.py",
            old_string="rate=0.19",
            new_string="rate=TAX_RATE",
        ),
    )
)
ASKS = "Build the release. " + directive(
    "Bash", command="make release VERSION=2.4 && git push --tags", description="Build and publish"
)


def until(ask: Callable[[], Any]) -> Any:
    """What it answers, once it is something."""
    due = monotonic() + PATIENCE
    while not (found := ask()):
        assert monotonic() < due
        sleep(0.1)
    return found
