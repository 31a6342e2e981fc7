#!/usr/bin/env bash
# A walk through every endpoint of a running server, with curl.
#
#   API_KEY=capi_... tests/scripts/test-claude-api.sh
#   BASE_URL=https://api.example.com API_KEY=... tests/scripts/test-claude-api.sh
#
# Needs bash, curl and python3. Every line is PASS or FAIL; the exit code is 1 if any failed. What
# it creates it ends again.
set -uo pipefail

BASE_URL=${BASE_URL:-http://localhost:3050}
: "${API_KEY:?set API_KEY to a key of the server}"
API=$BASE_URL/api/v1
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PASSED=0 FAILED=0 STATUS=000

pass() { PASSED=$((PASSED + 1)); echo "PASS  $1"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL  $1  ($2)"; }

# ask METHOD URL [BODY] [more curl options]: the answer is in $WORK/body, its status in STATUS.
ask() {
    local method=$1 url=$2 body=${3:-}
    shift $(($# < 3 ? $# : 3))
    local options=(-sS -m 60 -X "$method" -D "$WORK/head" -o "$WORK/body" -w '%{http_code}')
    [[ -n $body ]] && options+=(-H "content-type: application/json" -d "$body")
    : > "$WORK/body"
    STATUS=$(curl "${options[@]}" -H "x-api-key: $API_KEY" "$@" "$url") || STATUS=000
}

# value EXPRESSION: of the last answer, as Python sees it: value 'a["sessionId"]'
value() { python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$WORK/body" "$1" 2>/dev/null; }

# expect STATUS NAME [EXPRESSION]: the status is this, and the expression is true.
expect() {
    local wanted=$1 name=$2 truth=${3:-}
    if [[ $STATUS != "$wanted" ]]; then
        fail "$name" "status $STATUS, not $wanted: $(head -c 200 "$WORK/body")"
    elif [[ -n $truth && $(value "bool($truth)") != True ]]; then
        fail "$name" "not so: $truth, in $(head -c 200 "$WORK/body")"
    else
        pass "$name"
    fi
}

# holds NAME PATTERN [FILE]: a line of the answer (or of another file) matches.
holds() {
    if grep -qiE "$2" "${3:-$WORK/body}"; then pass "$1"; else fail "$1" "no line matches $2"; fi
}

echo "# The server"
ask GET "$BASE_URL/livez";   expect 200 "livez answers"
((FAILED == 0)) || { echo "There is no server at $BASE_URL."; exit 1; }
ask GET "$BASE_URL/readyz";  expect 200 "readyz names its checks" 'a["checks"]["database"] == "ok"'
ask GET "$API/health";       expect 200 "health needs no key" 'a["status"] == "healthy"'
ask GET "$BASE_URL/metrics"; expect 200 "metrics are there"
holds "metrics are Prometheus's" '^claudeapi_requests_total'
ask GET "$BASE_URL/api/schema/"; expect 200 "the OpenAPI document is served"
holds "it is OpenAPI 3.1" '^openapi: 3\.1'
ask GET "$BASE_URL/api/docs/";  expect 200 "Swagger UI is served"
ask GET "$BASE_URL/api/redoc/"; expect 200 "Redoc is served"

echo "# Keys"
ask GET "$API/me"; expect 200 "the key knows itself" '"sessions:write" in a["scopes"]'
holds "limits are in the headers" '^x-ratelimit-remaining: [0-9]+' "$WORK/head"
STATUS=$(curl -sS -m 10 -o "$WORK/body" -w '%{http_code}' "$API/me")
expect 401 "no key, no entry" 'a["error"]["code"] == "MISSING_API_KEY"'
STATUS=$(curl -sS -m 10 -o "$WORK/body" -w '%{http_code}' -H "authorization: Bearer $API_KEY" "$API/me")
expect 200 "a bearer token is as good"
ask GET "$API/models"; expect 200 "the models are listed" 'len(a["models"]) > 0'

echo "# Sessions"
ask POST "$API/sessions" '{"engine": "messages", "title": "Walk", "metadata": {"walk": "yes"}}'
expect 201 "a session is created" 'a["status"] == "active"'
holds "its place is told" '^location: .*/api/v1/sessions/' "$WORK/head"
SESSION=$(value 'a["sessionId"]')
AT=$API/sessions/$SESSION
ask GET "$API/sessions?limit=5&metadata.walk=yes"
expect 200 "it is in the list" "\"$SESSION\" in [s[\"sessionId\"] for s in a[\"sessions\"]]"
ask GET "$AT/"; expect 200 "a trailing slash does no harm" 'a["title"] == "Walk"'
ask PATCH "$AT" '{"title": "A longer walk"}'; expect 200 "it is renamed" 'a["title"] == "A longer walk"'
ask POST "$API/sessions" '{"titel": "x"}'
expect 400 "an unknown field is named" '"titel" in a["error"]["details"]["fields"]'
ask POST "$API/sessions" '{"title": '; expect 400 "bad JSON is told" 'a["error"]["code"] == "INVALID_JSON"'
ask GET "$API/sessions/00000000-0000-4000-8000-000000000000"
expect 404 "what is not there is 404" 'a["error"]["code"] == "SESSION_NOT_FOUND"'
ask GET "$API/nothing" "" -H "X-Request-ID: walk-1"
expect 404 "an unknown path has the same envelope" 'a["requestId"] == "walk-1"'

echo "# Messages"
ask POST "$AT/messages" '{"prompt": "Hello"}' -H "Idempotency-Key: walk-$SESSION"
expect 200 "a message is answered" 'a["response"] and a["usage"]["outputTokens"] > 0'
RUN=$(value 'a["runId"]')
ask POST "$AT/messages" '{"prompt": "Hello"}' -H "Idempotency-Key: walk-$SESSION"
expect 200 "the same request gives the same run" "a[\"runId\"] == \"$RUN\""
holds "and says so" '^idempotency-replayed: true' "$WORK/head"
ask POST "$AT/messages" '{"prompt": "Something else"}' -H "Idempotency-Key: walk-$SESSION"
expect 422 "another body is a conflict" 'a["error"]["code"] == "IDEMPOTENCY_CONFLICT"'
ask POST "$AT/messages" '{"prompt": "Later", "background": true}'
expect 202 "a message runs in the background" 'a["status"] == "queued"'
LATER=$(value 'a["runId"]')
for _ in {1..60}; do
    ask GET "$AT/runs/$LATER"
    [[ $(value 'a["finishedAt"] is not None') == True ]] && break
    sleep 0.5
done
expect 200 "and ends" 'a["status"] == "completed"'
ask GET "$AT/runs?limit=10"; expect 200 "the runs are listed" 'len(a["runs"]) == 2'
ask GET "$AT/messages?limit=100"
expect 200 "the history is in order" '[m["source"] for m in a["messages"]][:2] == ["user", "sdk"]'
ask POST "$AT/messages" '{"prompt": ""}'; expect 400 "an empty prompt is refused" '"prompt" in a["error"]["details"]["fields"]'
ask POST "$AT/cancel"; expect 202 "there is nothing to cancel" 'a["status"] == "idle"'

echo "# Streams"
ask POST "$AT/messages" '{"prompt": "Count to three.", "stream": true}' -N
expect 200 "a reply is streamed"
holds "as server-sent events" '^content-type: text/event-stream' "$WORK/head"
holds "that begin with connected" '^event: connected'
holds "go on with messages" '^event: message'
holds "and end with complete" '^event: complete'
ask POST "$AT/stream" '{"prompt": "And to five."}' -N; expect 200 "the other way to stream"
holds "ends too" '^event: complete'
ask GET "$AT/stream?prompt=Hello" "" -N; expect 200 "a prompt in the query streams"
LAST=$(grep -E '^id: ' "$WORK/body" | tail -1 | tr -dc '0-9')
cp "$WORK/body" "$WORK/first"
ask GET "$AT/stream?prompt=Hello" "" -N -H "Last-Event-ID: $((LAST - 2))"
expect 200 "a stream resumes, and sends nothing twice"
if diff <(grep '^id: ' "$WORK/first" | tail -2) <(grep '^id: ' "$WORK/body") > /dev/null; then
    pass "with exactly the events that were missing"
else
    fail "with exactly the events that were missing" "$(grep -c '^id: ' "$WORK/body") events"
fi
ask GET "$AT/stream?prompt=Hello" "" -H "Last-Event-ID: $LAST"
expect 204 "with nothing left a browser is told to stop"
ask GET "$AT/events?after=0&limit=3"; expect 200 "the log is there as JSON" '[e["id"] for e in a["events"]] == [1, 2, 3]'
ask GET "$AT/events?after=999999999"; expect 400 "a number beyond its end is named" '"after" in a["error"]["details"]["fields"]'
ask POST "$AT/tickets"; expect 201 "a browser gets a ticket" 'len(a["ticket"]) > 20'
TICKET=$(value 'a["ticket"]')
STATUS=$(curl -sS -m 10 -o "$WORK/body" -w '%{http_code}' -H "Last-Event-ID: $LAST" "$AT/stream?prompt=Hello&ticket=$TICKET")
expect 204 "which is good without a key"
STATUS=$(curl -sS -m 10 -o "$WORK/body" -w '%{http_code}' -H "Last-Event-ID: $LAST" "$AT/stream?prompt=Hello&ticket=$TICKET")
expect 401 "once"

echo "# Approvals, forks, usage"
ask GET "$AT/approvals?status=all"; expect 200 "approvals are listed" 'a["approvals"] == []'
ask POST "$AT/approvals/00000000-0000-4000-8000-000000000000" '{"decision": "allow"}'
expect 404 "there is none to decide" 'a["error"]["code"] == "APPROVAL_NOT_FOUND"'
ask POST "$AT/fork" '{}'; expect 201 "a session is forked" "a[\"forkedFrom\"] == \"$SESSION\" and a[\"messageCount\"] > 0"
FORK=$(value 'a["sessionId"]')
ask GET "$API/usage?groupBy=session"; expect 200 "usage is summed" 'a["total"]["runs"] > 0'

echo "# The end"
ask DELETE "$API/sessions/$FORK"; expect 204 "the fork is ended"
ask DELETE "$AT"; expect 204 "the session is ended"
ask DELETE "$AT"; expect 204 "ending it twice is no error"
ask POST "$AT/messages" '{"prompt": "Hello?"}'
expect 409 "it takes no more messages" 'a["error"]["code"] == "SESSION_ENDED"'
ask GET "$AT/messages"; expect 200 "its history stays" 'len(a["messages"]) > 0'

echo
echo "$PASSED passed, $FAILED failed"
((FAILED == 0))
