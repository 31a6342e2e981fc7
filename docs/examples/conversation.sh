#!/usr/bin/env bash
# The plain requests of a conversation, with curl. Needs BASE_URL and API_KEY in the environment.
set -euo pipefail
BASE_URL=${BASE_URL:-http://localhost:3050}
api() { curl -sS --fail-with-body -H "x-api-key: $API_KEY" -H "content-type: application/json" "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Create
session=$(api "$BASE_URL/api/v1/sessions" -d '{"engine": "messages", "title": "From curl"}' | field sessionId)
url="$BASE_URL/api/v1/sessions/$session"

# Send, and wait. The Idempotency-Key makes it safe to send the same request again.
key="order-$RANDOM-$RANDOM"
for attempt in 1 2; do
    api "$url/messages" -H "Idempotency-Key: $key" -d '{"prompt": "Hello"}' | field response
done

# Stream the reply
api -N "$url/messages" -d '{"prompt": "Count to three.", "stream": true}' | grep -c '^event: message'

# Resume: everything after event 5, read as JSON instead
api "$url/events?after=5&limit=1000" | field lastEventId

# What it cost, and the end
api "$url" | field costUsd
curl -sS --fail-with-body -X DELETE -H "x-api-key: $API_KEY" "$url"
echo "done"
