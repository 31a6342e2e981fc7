"use strict";
// A session's page: deltas as they come, whole messages as the server renders them, dialogs.
(() => {
  const DEBOUNCE_MS = 80;
  const RETRY_MS = 300;
  const TRIES = 12;

  function ask(link, dialog) {
    const menu = link.closest("details.menu");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus(); // where the focus returns to
    }
    dialog.showModal();
  }

  // Questions before something is destroyed; without this script the links lead to a page.
  function bindDialogs() {
    for (const link of document.querySelectorAll("a[data-dialog]")) {
      const dialog = document.getElementById(link.dataset.dialog);
      if (!dialog || !dialog.showModal) continue;
      link.setAttribute("role", "button");
      link.setAttribute("aria-haspopup", "dialog");
      link.addEventListener("keydown", (event) => {
        if (event.key !== " ") return; // as on every button
        event.preventDefault();
        ask(link, dialog);
      });
      link.addEventListener("click", (event) => {
        event.preventDefault();
        ask(link, dialog);
      });
      for (const close of dialog.querySelectorAll("[data-close]")) {
        close.addEventListener("click", (event) => {
          event.preventDefault();
          dialog.close();
        });
      }
    }
  }

  function parse(html) {
    return new DOMParser().parseFromString(html, "text/html").body;
  }

  class Conversation {
    constructor(list) {
      this.list = list;
      this.seen = Number(list.dataset.after);
      this.wanted = new Map(); // run → the number of the message that must be in it
      this.timers = new Map();
      this.blocks = new Map(); // run → index → block
      this.pending = new Map(); // block → text not yet shown
      this.feed = null;
    }

    open() {
      if (this.feed || document.hidden) return;
      const url = `${this.list.dataset.feed}?after=${this.seen}`;
      const take = (handle) => (data, message) => {
        const number = Number(message.lastEventId);
        if (number && number <= this.seen) return; // a reconnect begins where the page began
        if (number) this.seen = number;
        handle.call(this, data);
        document.dispatchEvent(
          new CustomEvent("console:event", { detail: { id: number, name: message.type, data } }),
        );
      };
      this.feed = window.consoleLive(url, {
        message: take(this.message),
        approval: take((data) => this.fetchSoon(data.runId, 0)),
        complete: take((data) => this.ended(data.runId)),
        failed: take((data) => this.ended(data.runId)),
        gap: take(() => this.note("Some events were lost when a server process died.")),
      });
    }

    close() {
      if (this.feed) this.feed.close();
      this.feed = null;
    }

    message(data) {
      const message = data.message;
      if (message.type === "stream_event") {
        this.delta(data.runId, message.event);
        return;
      }
      if (message.type === "assistant") this.whole(data.runId, data.sequence);
      this.fetchSoon(data.runId, message.type === "system" || message.type === "result" ? 0 : data.sequence);
    }

    // What streams is plain text until it is whole.
    delta(run, event) {
      if (!run || !event) return;
      if (event.type === "message_start") this.forget(run);
      if (event.type === "content_block_start") this.begin(run, event.index, event.content_block);
      if (event.type !== "content_block_delta") return;
      const block = (this.blocks.get(run) || new Map()).get(event.index) || this.begin(run, event.index, {});
      const delta = event.delta || {};
      const marked = window.consoleMarks;
      const text = delta.partial_json
        ? marked.code(delta.partial_json)
        : marked.prose(delta.text || delta.thinking || "");
      if (!text || !block) return;
      if (!this.pending.size) requestAnimationFrame(() => this.show());
      this.pending.set(block, (this.pending.get(block) || "") + text);
    }

    begin(run, index, content) {
      const stream = this.stream(run);
      if (!stream) {
        this.fetchSoon(run, 0);
        return null;
      }
      const block = document.createElement("div");
      block.className = "cv-entry cv-assistant cv-live";
      const who = document.createElement("p");
      who.className = "cv-who";
      const names = { thinking: "Thinking…", tool_use: `Calling ${window.consoleMarks.code(content.name || "a tool")}…` };
      who.textContent = names[content.type] || "Assistant, writing…";
      const text = document.createElement("div");
      text.className = "cv-plain";
      text.append(document.createTextNode(""));
      block.append(who, text);
      stream.append(block);
      if (!this.blocks.has(run)) this.blocks.set(run, new Map());
      this.blocks.get(run).set(index, block);
      return block;
    }

    show() {
      const atEnd = this.atEnd();
      for (const [block, text] of this.pending) {
        block.lastChild.firstChild.appendData(text);
      }
      this.pending.clear();
      if (atEnd) this.toEnd();
    }

    // The blocks there are now are in the message of this number: they go when it is shown.
    whole(run, number) {
      for (const block of (this.blocks.get(run) || new Map()).values()) {
        if (!block.dataset.until) block.dataset.until = number;
      }
    }

    forget(run) {
      this.blocks.set(run, new Map());
    }

    ended(run) {
      this.fetchSoon(run, 0);
    }

    turn(run) {
      return document.getElementById(`run-${run}`);
    }

    stream(run) {
      const turn = this.turn(run);
      return turn && turn.querySelector("[data-stream]");
    }

    fetchSoon(run, number, tries = TRIES, wait = DEBOUNCE_MS) {
      if (!run) return;
      this.wanted.set(run, Math.max(number, this.wanted.get(run) || 0));
      if (this.timers.has(run)) return;
      this.timers.set(
        run,
        setTimeout(() => {
          this.timers.delete(run);
          this.fetch(run, tries);
        }, wait),
      );
    }

    async fetch(run, tries) {
      let body;
      try {
        const answer = await fetch(`${this.list.dataset.turns}${run}/`, {
          headers: { "X-Requested-With": "fetch" },
          redirect: "error",
        });
        if (!answer.ok) throw new Error(String(answer.status));
        body = parse(await answer.text());
      } catch {
        if (tries > 1) this.fetchSoon(run, 0, tries - 1, RETRY_MS * 3);
        return;
      }
      const made = body.querySelector(".cv-turn");
      this.replaceFacts(body.querySelector("#cv-facts"));
      this.replaceTurn(run, made);
      // What is live a moment before it is written: look again.
      if (Number(made.dataset.last) < this.wanted.get(run) && tries > 1) {
        this.fetchSoon(run, 0, tries - 1, RETRY_MS);
      }
    }

    replaceTurn(run, made) {
      const atEnd = this.atEnd();
      const old = this.turn(run);
      const focused = old && old.contains(document.activeElement) ? document.activeElement : null;
      if (old) this.keepCards(old, made);
      const over = !["queued", "running", "waiting"].includes(made.dataset.status);
      if (old) this.keep(old, made, over);
      if (old) old.replaceWith(made);
      else this.list.append(made);
      const empty = document.getElementById("cv-empty");
      if (empty) empty.remove();
      if (focused && made.contains(focused)) focused.focus();
      window.consoleTimes(made);
      document.dispatchEvent(new CustomEvent("console:cards"));
      if (atEnd) this.toEnd();
    }

    // A question that is still open stays the very element it was: somebody may have written
    // an answer into it, chosen an option, or unfolded something.
    keepCards(old, made) {
      for (const card of old.querySelectorAll(".ap-card")) {
        const same = made.querySelector(`[data-approval="${card.dataset.approval}"]`);
        if (same && same.querySelector(".ap-form") && card.querySelector(".ap-form")) same.replaceWith(card);
      }
    }

    keep(old, made, over) {
      const open = new Set([...old.querySelectorAll("details[open][data-key]")].map((d) => d.dataset.key));
      for (const details of made.querySelectorAll("details[data-key]")) {
        if (open.has(details.dataset.key)) details.open = true;
      }
      if (over) return;
      const last = Number(made.dataset.last);
      const stream = made.querySelector("[data-stream]");
      for (const block of old.querySelectorAll("[data-stream] > .cv-live")) {
        if (!block.dataset.until || Number(block.dataset.until) > last) stream.append(block);
      }
    }

    replaceFacts(made) {
      const old = document.getElementById("cv-facts");
      if (!made || !old) return;
      old.replaceWith(made);
      window.consoleTimes(made);
      for (const element of document.querySelectorAll("[data-when-running]")) {
        element.hidden = made.dataset.unfinished === "0";
      }
      // What is cancelled is what the page showed as running when it was asked about.
      for (const field of document.querySelectorAll('.act-cancel input[name="run"]')) {
        if (!field.closest("dialog[open]")) field.value = made.dataset.run;
      }
      const last = document.getElementById("cv-last-event");
      if (last && this.seen) last.textContent = this.seen;
    }

    note(text) {
      const note = document.createElement("p");
      note.className = "cv-note";
      note.textContent = text;
      this.list.append(note);
    }

    // How far the end of the conversation is below the window.
    below() {
      const end = document.querySelector("[data-end]") || this.list;
      return end.getBoundingClientRect().bottom + 16 - window.innerHeight;
    }

    // Whoever reads further up, or what comes behind it, is left alone.
    atEnd() {
      const below = this.below();
      return below < 120 && below > -window.innerHeight;
    }

    toEnd() {
      const below = this.below();
      if (below > 0) window.scrollBy(0, below);
    }

    // What is newest comes first, but on a phone, where the facts are above what is over.
    openAtEnd() {
      const facts = document.getElementById("cv-facts");
      const beside = facts && facts.getBoundingClientRect().left > this.list.getBoundingClientRect().left + 1;
      const busy = facts && facts.dataset.unfinished !== "0";
      const goesOn = busy || document.querySelector("[data-end]");
      if (!window.location.hash && (beside || goesOn)) this.toEnd();
    }
  }

  bindDialogs();
  const list = document.getElementById("cv-turns");
  if (list && "follow" in list.dataset && window.consoleLive) {
    const conversation = new Conversation(list);
    conversation.openAtEnd();
    conversation.open();
    window.consoleConversation = conversation;
    // A browser has six connections to a server: those who are not looked at give theirs back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) conversation.close();
      else conversation.open();
    });
  }
})();
