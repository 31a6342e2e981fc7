"use strict";
// Approvals: the live inbox, its keys, the time that is left, and answers without a new page.
(() => {
  const SETTLE_MS = 500;
  const RETRY_MS = 1000;
  const RETRY_MAX_MS = 30000;
  const inbox = document.getElementById("ap-inbox");
  const help = document.getElementById("ap-help");

  const cards = () => [...document.querySelectorAll(".ap-card")];
  const openCards = () => cards().filter((card) => "open" in card.dataset);
  const cardOf = (id) => document.querySelector(`.ap-card[data-approval="${id}"]`);

  function current() {
    const inside = document.activeElement && document.activeElement.closest(".ap-card");
    return inside || document.querySelector(".ap-card.ap-current");
  }

  function select(card) {
    for (const other of cards()) other.classList.toggle("ap-current", other === card);
    if (!card) return;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  function move(step) {
    const all = openCards();
    if (!all.length) return;
    const at = all.indexOf(current());
    select(all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))]);
  }

  // What moved by itself was not read yet: for a moment nothing is answered by key or click.
  let settling = 0;
  const isSettling = () => document.body.classList.contains("ap-settling");
  function settleFirst() {
    clearTimeout(settling);
    document.body.classList.add("ap-settling");
    settling = setTimeout(() => document.body.classList.remove("ap-settling"), SETTLE_MS);
  }

  function press(card, decision) {
    const button = card.querySelector(decision === "once" ? ".ap-allow" : `[name="decision"][value="${decision}"]`);
    if (!button || button.disabled) return;
    if (decision !== "deny" && "partial" in card.dataset) {
      tell(card, "Not all of it is shown here. Read the whole input, then use the button.");
      card.querySelector(".ap-partial a").focus();
      return;
    }
    button.click();
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target;
    if (target.matches("input, textarea, select")) {
      if (event.key === "Escape") select(target.closest(".ap-card"));
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?" && help) help.showModal();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else {
      const card = current();
      if (!card || !card.querySelector(".ap-form") || isSettling()) return;
      if (event.key === "a") press(card, "once");
      else if (event.key === "s") press(card, "session");
      else if (event.key === "d") why(card);
      else if (event.key === "e") edit(card);
      else return;
    }
    event.preventDefault();
  }

  // Denying asks for a word first; Enter in that field denies.
  function why(card) {
    const word = card.querySelector('input[name="message"]');
    word.dataset.denies = "";
    word.focus();
    word.placeholder = "Why not? Enter denies, Escape goes back";
  }

  function edit(card) {
    const details = card.querySelector(".ap-edit");
    if (!details) return;
    details.open = true;
    details.querySelector("textarea").focus();
  }

  // What was typed is what is allowed: no button leaves it out.
  function changed(area) {
    const form = area.closest(".ap-form");
    const allow = form.querySelector(".ap-allow");
    const words = allow.querySelector("[data-changed]");
    const is = "typed" in area.dataset || area.value !== area.defaultValue;
    words.dataset.plain = words.dataset.plain || words.textContent;
    words.textContent = is ? words.dataset.changed : words.dataset.plain;
    allow.value = is ? "changed" : "once";
    const session = form.querySelector('[value="session"]');
    if (session) session.disabled = is;
  }

  function onEnter(event) {
    if (event.key !== "Enter" || !event.target.matches(".ap-form input:not([type=radio]):not([type=checkbox])")) return;
    event.preventDefault();
    if (event.repeat) return;
    const card = event.target.closest(".ap-card");
    if (event.target.name !== "message") press(card, "once");
    else if ("denies" in event.target.dataset) press(card, "deny");
  }

  async function onSubmit(event) {
    const form = event.target.closest(".ap-form");
    if (!form) return;
    event.preventDefault();
    const button = event.submitter;
    const card = form.closest(".ap-card");
    if (card.dataset.busy || !button || isSettling()) return;
    card.dataset.busy = "yes";
    const data = new FormData(form);
    data.set("decision", button.value);
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: data,
        headers: { "X-Requested-With": "fetch" },
        redirect: "error",
      });
      if (!answer.ok) throw new Error(String(answer.status));
      show(card, await answer.text(), data);
    } catch {
      tell(card, "The answer did not arrive. Try again.");
    } finally {
      delete card.dataset.busy;
    }
  }

  function show(card, html, data) {
    const made = new DOMParser().parseFromString(html, "text/html").querySelector(".ap-card");
    const next = openCards()[openCards().indexOf(card) + 1];
    // What is still open keeps what was typed into it; only the problem is new.
    const problem = made.querySelector('[role="alert"]');
    if (made.querySelector(".ap-form") && problem) {
      tell(card, problem.textContent);
      if (data.get("decision") === "changed") edit(card);
      return;
    }
    // Whoever went on to another card while the answer was under way stays there.
    const stayed = document.activeElement === document.body || card.contains(document.activeElement);
    replace(card, made);
    say(made.textContent.trim().replace(/\s+/g, " "));
    over(made);
    if (inbox && stayed) select(next && next.isConnected ? next : openCards()[0] || made);
    else if (stayed) made.focus({ preventScroll: true });
  }

  function replace(card, made) {
    card.replaceWith(document.adoptNode(made));
    window.consoleTimes(made);
    settleFirst();
  }

  // In the inbox what is answered makes room for what is not.
  function over(made) {
    const there = document.getElementById("ap-over");
    if (!there || "open" in made.dataset) return;
    there.hidden = false;
    there.querySelector("h2").after(made);
    settle();
  }

  function tell(card, text) {
    let problem = card.querySelector('[role="alert"]');
    if (!problem) {
      problem = document.createElement("p");
      problem.className = "cv-error";
      problem.setAttribute("role", "alert");
      card.querySelector(".ap-form").before(problem);
    }
    problem.textContent = text;
  }

  function say(text) {
    const said = document.getElementById("ap-said");
    if (said) said.textContent = text;
  }

  function tick() {
    for (const left of document.querySelectorAll(".ap-left[data-expires]")) {
      const seconds = Math.max(0, Math.round((new Date(left.dataset.expires) - Date.now()) / 1000));
      const minutes = Math.floor(seconds / 60);
      const text = minutes ? `${minutes} min ${String(seconds % 60).padStart(2, "0")} s left` : `${seconds} s left`;
      if (left.textContent !== text) left.textContent = text;
      left.classList.toggle("bad", seconds < 30);
    }
  }

  // The feed tells of a change once: what did not arrive is fetched again until it is there.
  let waiting = [];
  let loading = false;
  let retry = null;
  let wait = RETRY_MS;

  function refresh(ids) {
    waiting = ids;
    const wanted = new Set(ids);
    for (const card of openCards()) {
      if (!wanted.has(card.dataset.approval) && !card.dataset.busy) gone(card);
    }
    wait = RETRY_MS;
    return load();
  }

  const missing = () => waiting.some((id) => !cardOf(id));

  async function load() {
    clearTimeout(retry);
    if (loading) return;
    if (missing()) {
      loading = true;
      await fetchCards().catch(() => {});
      loading = false;
    }
    if (missing()) {
      retry = setTimeout(load, wait);
      wait = Math.min(RETRY_MAX_MS, wait * 2);
    }
    settle();
  }

  async function fetchCards() {
    const answer = await fetch(inbox.dataset.cards, {
      headers: { "X-Requested-With": "fetch" },
      redirect: "error",
    });
    if (!answer.ok) throw new Error(String(answer.status));
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const card of made.querySelectorAll(".ap-card")) {
      if (cardOf(card.dataset.approval)) continue;
      inbox.append(document.adoptNode(card));
      window.consoleTimes(card);
      say(`New: ${card.querySelector("h2").textContent.trim()}`);
    }
  }

  // Somebody else answered, or time ran out: say it where the card was.
  async function gone(card) {
    const url = card.dataset.open;
    delete card.dataset.open;
    const here = card.contains(document.activeElement);
    for (const control of card.querySelectorAll("button, textarea, input")) control.disabled = true;
    try {
      const answer = await fetch(url, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
      const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".ap-card");
      if (!made) throw new Error(String(answer.status));
      replace(card, made);
      over(made);
      if (here && document.activeElement === document.body) select(made);
    } catch {
      card.remove();
    }
    settle();
  }

  function settle() {
    const none = document.getElementById("ap-none");
    if (none) none.hidden = openCards().length > 0;
    tick();
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("keydown", onEnter);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("console:cards", tick);
  document.addEventListener("input", (event) => event.target.matches(".ap-edit textarea") && changed(event.target));
  document.querySelectorAll(".ap-edit textarea").forEach(changed);
  document.body.classList.add("ap-scripted");
  setInterval(tick, 1000);
  tick();

  const button = document.querySelector("[data-help]");
  if (button && help) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }
  if (inbox && window.consoleLive) {
    let feed = null;
    const open = () => {
      feed = feed || window.consoleLive(inbox.dataset.feed, { approvals: (data) => refresh(data.ids) });
    };
    open();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) return open();
      if (feed) feed.close();
      feed = null;
    });
  }
})();
