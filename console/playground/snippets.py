"""The same conversation from a program: curl, Python and JavaScript. Pure.

The page fills in another message as it is typed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

PROMPT = "Hello"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program, in two pieces around the `prompt`; `quoting` says how that is quoted."""

    name: str
    label: str
    quoting: str
    before: str
    after: str
    prompt: str

    @property
    def text(self) -> str:
        """The program."""
        return f"{self.before}{self.prompt}{self.after}"


def snippets(base: str, body: dict[str, Any], prompt: str = PROMPT) -> list[Snippet]:
    """The programs.

    Args:
        base: the address of the API, with `/api/v1`.
        body: of `POST /sessions`.
        prompt: the message.
    """
    return [make(base, body, prompt) for make in (_curl, _python, _javascript)]


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _curl(base: str, body: dict[str, Any], prompt: str) -> Snippet:
    given = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return Snippet(
        "curl",
        "curl",
        "shell",
        f"""\
SESSION=$(curl -s {base}/sessions \\
  -H "x-api-key: $CLAUDEAPI_KEY" -H 'content-type: application/json' \\
  -d '{given}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["sessionId"])')

curl -N {base}/sessions/$SESSION/messages \\
  -H "x-api-key: $CLAUDEAPI_KEY" -H 'content-type: application/json' \\
  -d '{{"stream": true, "prompt": """,
        "}'",
        _json(prompt).replace("'", "'\\''"),
    )


def _python(base: str, body: dict[str, Any], prompt: str) -> Snippet:
    return Snippet(
        "python",
        "Python",
        "json",
        f"""\
import json
import os
from urllib.request import Request, urlopen

API = {base!r}


def post(path, body):
    headers = {{"x-api-key": os.environ["CLAUDEAPI_KEY"], "content-type": "application/json"}}
    return urlopen(Request(API + path, json.dumps(body).encode(), headers))


with post("/sessions", {body!r}) as reply:
    session = json.load(reply)["sessionId"]
message = {{"stream": True, "prompt": """,
        """}
with post(f"/sessions/{session}/messages", message) as reply:
    for line in reply:
        if line.startswith(b"data: "):
            print(json.loads(line[6:]))""",
        _json(prompt),
    )


def _javascript(base: str, body: dict[str, Any], prompt: str) -> Snippet:
    return Snippet(
        "javascript",
        "JavaScript",
        "json",
        f"""\
const api = {json.dumps(base)};
const headers = {{ "x-api-key": process.env.CLAUDEAPI_KEY, "content-type": "application/json" }};

const post = (path, body) =>
  fetch(api + path, {{ method: "POST", headers, body: JSON.stringify(body) }});

const made = await post("/sessions", {json.dumps(body, ensure_ascii=False)});
const {{ sessionId }} = await made.json();
const reply = await post(`/sessions/${{sessionId}}/messages`, {{
  stream: true,
  prompt: """,
        """,
});
for await (const piece of reply.body.pipeThrough(new TextDecoderStream())) {
  process.stdout.write(piece);
}""",
        _json(prompt),
    )
