// A conversation over REST and SSE. Node 20 or newer, no packages.
// Needs BASE_URL and API_KEY in the environment.
import { randomUUID } from "node:crypto";

const base = (process.env.BASE_URL ?? "http://localhost:3050") + "/api/v1";
const key = process.env.API_KEY;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(`${body.error.message} (request ${body.requestId})`);
    const { code, details } = body.error;
    Object.assign(this, { status, code, details, retryAfter });
  }
}

async function request(method, path, body, headers = {}) {
  const response = await fetch(base + path, {
    method,
    headers: { "x-api-key": key, "content-type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) {
    const retryAfter = Number(response.headers.get("retry-after") ?? 1);
    throw new ApiError(response.status, await response.json(), retryAfter);
  }
  return response;
}

// Whether it makes sense to try again: not after what would only be refused again. Where a run has
// begun and failed, the same Idempotency-Key would only tell so again.
const passes = (error) =>
  !(error instanceof ApiError) || ([429, 503].includes(error.status) && !error.details.runId);

// The Idempotency-Key keeps it from happening twice.
async function call(method, path, body) {
  const headers = method === "POST" ? { "Idempotency-Key": randomUUID() } : {};
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await request(method, path, body, headers);
      return response.status === 204 ? null : await response.json();
    } catch (error) {
      if (!passes(error) || attempt === 4) throw error;
      await pause(1000 * (error.retryAfter ?? 2 ** attempt / 10));
    }
  }
}

// The events of an SSE response.
async function* events(response) {
  let buffer = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    buffer += chunk;
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
      }
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}

// Send a message; a lost connection is resumed after the last event, not sent again.
async function* stream(session, prompt) {
  const key = randomUUID();
  let ask = () =>
    request("POST", `/sessions/${session}/messages`, { prompt, stream: true }, { "Idempotency-Key": key });
  for (let failures = 0; ; ) {
    try {
      for await (const event of events(await ask())) {
        // From here on it is enough to say how far we are.
        const last = event.id ?? String(event.data.lastEventId);
        ask = () =>
          request("GET", `/sessions/${session}/stream`, undefined, { "Last-Event-ID": last });
        failures = 0;
        yield event;
        if (event.event === "complete" || event.event === "error") return;
      }
    } catch (error) {
      if (!passes(error) || failures === 10) throw error;
    }
    failures++;
    await pause(Math.min(100 * 2 ** failures, 5000));
  }
}

const { sessionId } = await call("POST", "/sessions", { engine: "messages", title: "From Node" });

const reply = await call("POST", `/sessions/${sessionId}/messages`, { prompt: "Hello" });
console.log("reply:", reply.response);

for await (const { event, data } of stream(sessionId, "Count to three.")) {
  if (event === "message") process.stdout.write(data.message.event?.delta?.text ?? "");
  if (event === "complete") console.log("\ncost:", data.costUsd);
}

try {
  await call("POST", `/sessions/${sessionId}/messages`, { prompt: "" });
} catch (error) {
  console.log("refused:", error.status, error.code);
}

const { usage } = await call("GET", `/sessions/${sessionId}`);
console.log("tokens:", usage.outputTokens);
await call("DELETE", `/sessions/${sessionId}`);
