"use strict";
// A live feed with a visible sign: live, lost, found again, signed out.
(() => {
  const SILENCE_MS = 25000; // the server says something at least every ten seconds
  const RETRY_MS = 2000;
  const GLANCE_MS = 30000;
  const feeds = new Map();
  const WORDS = {
    live: "Live",
    lost: "Connection lost, trying again…",
    connecting: "Connecting…",
    "signed-out": "Signed out. Sign in",
    refused: "Your role has changed. Load anew",
    gone: "This is no longer there. Load anew",
  };
  const OVER = ["signed-out", "refused", "gone"];
  const REFUSALS = { 403: "refused", 404: "gone" };

  function show() {
    const element = document.getElementById("live-sign");
    if (!element) return;
    const states = [...feeds.values()].map((feed) => feed.state);
    const state =
      [...OVER, "lost", "connecting"].find((name) => states.includes(name)) || "live";
    element.hidden = states.length === 0;
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    element.querySelector(".words").replaceChildren(words(state));
    document.body.classList.toggle("is-lost", state === "lost" || OVER.includes(state));
    document.dispatchEvent(new CustomEvent("console:connection", { detail: { state } }));
  }

  // What can be done about it is a link.
  function words(state) {
    if (!OVER.includes(state)) return document.createTextNode(WORDS[state]);
    const link = document.createElement("a");
    link.href = window.location.href;
    link.textContent = WORDS[state];
    return link;
  }

  // With `glance`, a page that nobody looks at holds no connection: a browser has six to a
  // server, for all of its tabs. It looks in until the event of that name came, now and then.
  function open(url, handlers, { glance = null } = {}) {
    const feed = { state: "connecting", source: null, timer: null, watchdog: null };
    const listening = new AbortController();
    const signal = listening.signal;
    feeds.set(url, feed);

    const set = (state) => {
      feed.state = state;
      show();
    };

    const heard = () => {
      clearTimeout(feed.watchdog);
      feed.watchdog = setTimeout(again, SILENCE_MS);
      if (feed.state !== "live") set("live");
    };

    const stop = () => {
      if (feed.source) feed.source.close();
      clearTimeout(feed.watchdog);
      clearTimeout(feed.timer);
    };

    const rests = () => glance !== null && document.hidden;

    const rest = () => {
      stop();
      feed.timer = setTimeout(connect, GLANCE_MS);
    };

    const again = () => {
      if (OVER.includes(feed.state)) return;
      stop();
      set("lost");
      feed.timer = setTimeout(connect, rests() ? GLANCE_MS : RETRY_MS);
    };

    const end = (state) => {
      stop();
      set(state);
    };

    async function whyRefused() {
      try {
        const answer = await fetch(window.location.href, {
          method: "HEAD",
          headers: { "X-Requested-With": "fetch" },
          redirect: "manual",
        });
        if (answer.type === "opaqueredirect") return "signed-out";
        return REFUSALS[answer.status] || "";
      } catch {
        return "";
      }
    }

    function connect() {
      const source = new EventSource(url);
      feed.source = source;
      for (const name of ["open", "connected", "alive"]) source.addEventListener(name, heard);
      source.addEventListener("restarting", again);
      source.addEventListener("signed-out", (message) => {
        const isRole = JSON.parse(message.data).code === "INSUFFICIENT_SCOPE";
        end(isRole ? "refused" : "signed-out");
      });
      source.addEventListener("error", async () => {
        if (source !== feed.source || OVER.includes(feed.state)) return;
        const refused = source.readyState === EventSource.CLOSED;
        again();
        const why = refused && (await whyRefused());
        if (why) end(why);
      });
      for (const [name, handle] of Object.entries(handlers)) {
        source.addEventListener(name, (message) => {
          heard();
          handle(JSON.parse(message.data), message);
          if (rests() && name === glance) rest();
        });
      }
    }

    function look() {
      if (OVER.includes(feed.state)) return;
      if (rests()) rest();
      else {
        stop();
        connect();
      }
    }

    show();
    connect();
    if (glance !== null) document.addEventListener("visibilitychange", look, { signal });
    // A page kept for the back button would hold its connection.
    window.addEventListener("pagehide", stop, { signal });
    window.addEventListener("pageshow", (event) => event.persisted && again(), { signal });
    const close = () => {
      stop();
      listening.abort();
      feeds.delete(url);
      show();
    };
    return { close };
  }

  window.consoleLive = open;
})();
