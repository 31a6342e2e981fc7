"""What streams, log and answers really hold, against the document's schemas, to the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from sessions_app.api.event_schemas import EVENTS
from tests.docs.conftest import Api
from tests.docs.test_schema_conformance import tightened
from tests.server_process import ALICE

PROMPTS = ["Hello", "[[sim tool name=Bash]]", "[[sim midstream-error after=2]]"]


def check(openapi: dict[str, Any], name: str, value: Any) -> None:
    document = tightened(openapi)
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    Draft202012Validator(schema).validate(value)


def events_of(response: requests.Response) -> list[dict[str, Any]]:
    blocks = (
        dict(line.split(": ", 1) for line in b.split("\n"))
        for b in response.text.split("\n\n")
        if b
    )
    return [{**block, "data": json.loads(block["data"])} for block in blocks]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_events_of_a_stream_look_as_documented(
    api: Api, openapi: dict[str, Any], prompt: str
) -> None:
    session = api.new_session()
    answer = requests.post(
        f"{api.url}/api/v1/sessions/{session}/messages",
        json={"prompt": prompt, "stream": True},
        headers={"x-api-key": ALICE},
        timeout=30,
    )
    answer.encoding = "utf-8"
    found = events_of(answer)

    assert {event["event"] for event in found} <= set(EVENTS)
    assert found[0]["event"] == "connected"
    assert found[-1]["event"] in ("complete", "error")
    for event in found:
        check(openapi, EVENTS[event["event"]], event["data"])


def test_answers_with_content_look_as_documented(api: Api, openapi: dict[str, Any]) -> None:
    session = api.new_session(metadata={"a": 1}, maxBudgetUsd="5.00", systemPrompt="Be brief.")
    at = f"/sessions/{session}"
    check(openapi, "Reply", api.post(f"{at}/messages", prompt="Hello"))
    api.call("POST", f"{at}/messages", json={"prompt": "[[sim status code=400]]"})
    fork = api.post(f"{at}/fork")

    for name, path in {
        "Session": at,
        "SessionList": "/sessions?metadata.a=1",
        "MessageList": f"{at}/messages",
        "RunList": f"{at}/runs",
        "EventList": f"{at}/events",
        "UsageReport": "/usage?groupBy=session",
        "Me": "/me",
        "Health": "/health",
    }.items():
        check(openapi, name, api.get(path))
    check(openapi, "Session", fork)
    check(openapi, "EventList", api.get(f"/sessions/{fork['sessionId']}/events"))
