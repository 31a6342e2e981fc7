"""Answers what an agent asks: every pending approval of a session is shown and decided.

Needs BASE_URL, API_KEY and SESSION in the environment.
"""

import json
import os
import urllib.request

URL = os.environ.get("BASE_URL", "http://localhost:3050") + "/api/v1/sessions/"
URL += os.environ["SESSION"] + "/approvals"
HEADERS = {"x-api-key": os.environ["API_KEY"], "content-type": "application/json"}


def call(url, body=None):
    """One request; its answer."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, HEADERS), timeout=30) as response:
        return json.load(response)


for approval in call(URL)["approvals"]:
    print(approval["toolName"], json.dumps(approval["input"], indent=2))
    allowed = input("Allow? [y/N] ").strip().lower() == "y"
    decision = {"decision": "allow"} if allowed else {"decision": "deny", "message": "Not now."}
    print(call(f"{URL}/{approval['approvalId']}", decision)["status"])
print("nothing else is waiting")
