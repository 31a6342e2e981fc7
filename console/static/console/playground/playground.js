"use strict";
// The playground: models to choose from, sending without a new page, events, the same in code.
(() => {
  const SHOWN = 300;

  async function offerModels(input) {
    const list = document.getElementById("pg-models");
    try {
      const answer = await fetch(input.dataset.models, {
        headers: { "X-Requested-With": "fetch" },
        redirect: "error",
      });
      for (const model of (await answer.json()).models) {
        const option = document.createElement("option");
        option.value = model.id;
        option.label = model.name;
        list.append(option);
      }
    } catch {
      // A model can be typed all the same.
    }
  }

  const model = document.querySelector("[data-models]");
  if (model) offerModels(model);
  // What a key may not do anyway is not offered.
  const key = document.getElementById("pg-key");
  function offerModes() {
    const allowed = key.selectedOptions[0].dataset.modes.split(" ");
    for (const option of mode.querySelectorAll("option")) {
      option.hidden = option.disabled = option.value !== "" && !allowed.includes(option.value);
      if (option.disabled && option.selected) mode.querySelector("select").value = "";
    }
  }

  const engine = document.getElementById("pg-engine");
  const mode = document.getElementById("pg-mode");
  if (engine && mode) {
    const show = () => { mode.hidden = engine.value !== "claude-code"; };
    engine.addEventListener("change", show);
    show();
    key.addEventListener("change", offerModes);
    offerModes();
  }

  // The prompt inside the programs, quoted as each needs it.
  const quoted = {
    json: (text) => JSON.stringify(text),
    shell: (text) => JSON.stringify(text).replaceAll("'", "'\\''"),
  };
  function fill(text) {
    if (!text) return; // what was said last stays
    for (const place of document.querySelectorAll("[data-prompt]")) {
      place.textContent = quoted[place.dataset.prompt](text);
    }
  }

  const composer = document.getElementById("pg-composer");
  if (composer) {
    const prompt = composer.querySelector("textarea");
    const problem = composer.querySelector('[role="alert"]');
    const button = composer.querySelector("button");
    prompt.addEventListener("input", () => fill(prompt.value));
    prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        composer.requestSubmit();
      }
    });
    composer.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.disabled) return; // by the keyboard a form is sent all the same
      button.disabled = true;
      problem.hidden = true;
      try {
        const answer = await fetch(composer.action, {
          method: "POST",
          body: new FormData(composer),
          headers: { "X-Requested-With": "fetch" },
          redirect: "error",
        });
        const told = await answer.json();
        if (told.error) throw new Error(`${told.error.code}: ${told.error.message}`);
        prompt.value = "";
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      } finally {
        button.disabled = false;
        prompt.focus();
      }
    });
  }

  // As console/sessions/events.py tells them.
  function words(data) {
    const message = data.message;
    if (!message || typeof message !== "object") return [data.toolName, data.status, data.stopReason, data.code];
    if (message.type !== "stream_event") {
      const content = (message.message || {}).content;
      const blocks = Array.isArray(content) ? content : content ? [{ type: "text" }] : [];
      return [message.type, message.subtype, ...blocks.map((b) => (/tool_use$/.test(b.type) ? b.name : b.type))];
    }
    const { type, delta = {}, content_block: block = {} } = message.event || {};
    return [type, delta.type, delta.name, block.type, block.name];
  }

  const events = document.getElementById("pg-events");
  if (events) events.scrollTop = events.scrollHeight;
  // Once a frame: each look at the height is a layout of the whole page.
  const fresh = [];
  function showFresh() {
    const atEnd = events.scrollHeight - events.scrollTop - events.clientHeight < 40;
    events.append(...fresh.splice(0));
    while (events.childElementCount > SHOWN) events.firstElementChild.remove();
    if (atEnd) events.scrollTop = events.scrollHeight;
  }
  if (events) {
    document.addEventListener("console:event", ({ detail }) => {
      const quiet = document.getElementById("pg-quiet");
      if (quiet) quiet.remove();
      const made = document.createElement("details");
      made.className = "cv-fold cv-event";
      const summary = document.createElement("summary");
      const kind = words(detail.data).filter(Boolean).join(" ");
      const number = document.createElement("span");
      number.className = "mono";
      number.textContent = detail.id;
      const name = document.createElement("strong");
      name.textContent = detail.name === "failed" ? "error" : detail.name;
      const about = document.createElement("span");
      about.className = "muted";
      about.textContent = window.consoleMarks.code(kind).slice(0, 140);
      summary.append(number, " ", name, " ", about);
      const text = document.createElement("pre");
      made.append(summary, text);
      made.addEventListener("toggle", () => {
        text.textContent = window.consoleMarks.code(JSON.stringify(detail.data, null, 2));
      });
      if (!fresh.length) requestAnimationFrame(showFresh);
      fresh.push(made);
      if (fresh.length > SHOWN) fresh.shift(); // a hidden tab has no frames
    });
  }

  const tabs = [...document.querySelectorAll('.pg-tabs [role="tab"]')];
  function choose(tab) {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  }
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(at + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
  if (tabs.length) choose(tabs[0]);
  const copy = document.getElementById("pg-copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const shown = document.querySelector('[role="tabpanel"]:not([hidden]) pre');
      await navigator.clipboard.writeText(shown.textContent);
      copy.textContent = "Copied";
    });
  }
})();
