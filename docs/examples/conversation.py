"""A conversation over REST and SSE. Python's standard library is enough.

Needs BASE_URL and API_KEY in the environment.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
import uuid

BASE = os.environ.get("BASE_URL", "http://localhost:3050") + "/api/v1"
KEY = os.environ["API_KEY"]
LOST = (OSError, http.client.HTTPException)  # the connection, not the answer


class ApiError(Exception):
    """The server said no: `code` is for programs, the text for people."""

    def __init__(self, status, body, retry_after):
        super().__init__(f"{body['error']['message']} (request {body['requestId']})")
        self.status, self.retry_after = status, retry_after
        self.code, self.details = body["error"]["code"], body["error"]["details"]


def request(method, path, body=None, headers=None, timeout=120):
    """One request; the open response."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"x-api-key": KEY, "content-type": "application/json", **(headers or {})}
    asked = urllib.request.Request(BASE + path, data, sent, method=method)
    try:
        return urllib.request.urlopen(asked, timeout=timeout)
    except urllib.error.HTTPError as refusal:
        retry_after = refusal.headers.get("Retry-After")
        raise ApiError(refusal.code, json.load(refusal), retry_after) from None


def call(method, path, body=None, headers=None):
    """One request with a JSON answer, tried again where that makes sense.

    The Idempotency-Key stays the same, so a message is never sent twice. Where a run has begun
    and failed, the same key would only tell so again: that is for the caller to decide.
    """
    if method == "POST":
        headers = {"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
    for attempt in range(5):
        wait = 2**attempt / 10
        try:
            with request(method, path, body, headers) as response:
                return json.loads(response.read() or b"null")
        except ApiError as error:
            if error.status not in (429, 503) or "runId" in error.details or attempt == 4:
                raise
            wait = int(error.retry_after or 1)
        except LOST:
            if attempt == 4:
                raise
        time.sleep(wait)


def events(response):
    """The events of an SSE response as `(id, name, data)`."""
    fields = {}
    for raw in response:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields.get("data"):
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}


def stream(session, prompt):
    """Send a message and yield its events; a lost connection is resumed, not sent again."""
    method, path = "POST", f"/sessions/{session}/messages"
    body, headers = {"prompt": prompt, "stream": True}, {"Idempotency-Key": str(uuid.uuid4())}
    failures = 0
    while True:
        try:
            with request(method, path, body, headers) as response:
                for number, name, data in events(response):
                    # From here on it is enough to say how far we are.
                    method, path, body = "GET", f"/sessions/{session}/stream", None
                    headers = {"Last-Event-ID": number or str(data["lastEventId"])}
                    failures = 0
                    yield number, name, data
                    if name in ("complete", "error"):
                        return
        except (*LOST, ApiError) as error:
            refused = isinstance(error, ApiError) and error.status not in (429, 503)
            if refused or failures == 10:
                raise
        failures += 1
        time.sleep(min(2**failures / 10, 5))


def delta_of(name, data):
    """The piece of text in an event, or nothing."""
    event = data.get("message", {}).get("event", {}) if name == "message" else {}
    return event.get("delta", {}).get("text", "")


def main():
    """Create, send, stream, resume, read what it cost."""
    session = call("POST", "/sessions", {"engine": "messages", "title": "From Python"})["sessionId"]

    reply = call("POST", f"/sessions/{session}/messages", {"prompt": "Hello"})
    print("reply:", reply["response"])

    last = None
    for number, name, data in stream(session, "Count to three."):
        print(delta_of(name, data), end="", flush=True)
        last = number or last
    print()

    # Anything can be read again, from any number on: here the last three events.
    again = call("GET", f"/sessions/{session}/events?after={int(last) - 3}")
    print("read again:", [event["id"] for event in again["events"]])

    # What fails has a code.
    try:
        call("POST", f"/sessions/{session}/messages", {"prompt": ""})
    except ApiError as error:
        print("refused:", error.status, error.code)

    found = call("GET", f"/sessions/{session}")
    print("cost:", found["costUsd"], "tokens:", found["usage"]["outputTokens"])
    call("DELETE", f"/sessions/{session}")


main()
