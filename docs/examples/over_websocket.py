"""A conversation over a WebSocket, approvals included. Needs `pip install websockets`.

Needs BASE_URL and API_KEY in the environment.
"""

import asyncio
import json
import os
import urllib.request

import websockets

BASE = os.environ.get("BASE_URL", "http://localhost:3050")
HEADERS = {"x-api-key": os.environ["API_KEY"]}


def new_session():
    """A session's id."""
    sent = {**HEADERS, "content-type": "application/json"}
    asked = urllib.request.Request(f"{BASE}/api/v1/sessions", b'{"engine": "messages"}', sent)
    with urllib.request.urlopen(asked, timeout=30) as response:
        return json.load(response)["sessionId"]


async def main():
    """Send a message, print what comes, answer whatever asks."""
    session = await asyncio.to_thread(new_session)
    url = f"{BASE.replace('http', 'ws', 1)}/ws/v1/sessions/{session}"
    async with websockets.connect(url, additional_headers=HEADERS) as socket:
        await socket.send(json.dumps({"type": "message", "prompt": "Hello", "ref": 1}))
        async for text in socket:
            frame = json.loads(text)
            name, data = frame["event"], frame["data"]
            if name == "ack":
                print("accepted as run", data.get("runId"))
            elif name == "message" and data["message"]["type"] == "stream_event":
                print(data["message"]["event"].get("delta", {}).get("text", ""), end="")
            elif name == "approval" and data["status"] == "pending":
                # An agent asks before it calls a tool. Here a person should decide.
                answer = {"type": "approval", "approvalId": data["approvalId"], "decision": "deny"}
                await socket.send(json.dumps(answer))
            elif name == "error":
                raise SystemExit(data["error"]["message"])
            elif name == "complete":
                print("\ncost:", data["costUsd"])
                return


asyncio.run(main())
