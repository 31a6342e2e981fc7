"use strict";
// The front page: tables that follow the feed, and charts fetched anew.
(() => {
  const CHARTS_MS = 30000;
  const forms = window.consoleForms;

  function cell(text, className = "", tag = "td") {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.textContent = text;
    return element;
  }

  function row(...cells) {
    const element = document.createElement("tr");
    element.append(...cells);
    return element;
  }

  function fill(name, rows, columns) {
    const body = document.querySelector(`[data-rows="${name}"] tbody`);
    if (!rows.length) {
      const none = cell("None.", "muted");
      none.colSpan = columns;
      rows = [row(none)];
    }
    body.replaceChildren(...rows);
  }

  function state(worker) {
    const element = document.createElement("td");
    const badge = document.createElement("span");
    badge.className = worker.alive ? "badge ok" : "badge bad";
    badge.textContent = worker.alive ? "alive" : `gone, silent for ${worker.silent_seconds} s`;
    element.append(badge);
    return element;
  }

  // What a process that is gone held, nobody holds.
  function figure(worker, name, form = String) {
    return cell(worker.alive ? form(worker[name]) : "-", "number");
  }

  function failure(error) {
    const link = document.createElement("a");
    link.href = document.querySelector('[data-rows="errors"]').dataset.href;
    link.textContent = error.code;
    const element = cell("", "mono");
    element.append(link);
    return row(element, cell(error.runs, "number"));
  }

  document.addEventListener("console:overview", ({ detail }) => {
    fill("errors", detail.errors.map(failure), 2);
    fill(
      "workers",
      detail.workers.map((worker) =>
        row(
          cell(worker.name, "mono"),
          state(worker),
          cell(worker.version),
          cell(forms.when(worker.started_at)),
          figure(worker, "runs"),
          figure(worker, "streams"),
          figure(worker, "agents"),
          figure(worker, "memory", forms.bytes),
        ),
      ),
      8,
    );
  });

  const section = document.getElementById("charts");
  const body = document.getElementById("charts-body");
  let query = window.location.search;

  async function refresh() {
    if (document.hidden) return;
    const open = [...body.querySelectorAll("details[open]")].map((d) => d.dataset.keep);
    const focused = document.activeElement;
    const place = body.contains(focused) ? focused.getAttribute("href") : null;
    if (body.contains(focused) && place === null) return; // somebody reads a table
    let answer;
    try {
      answer = await fetch(section.dataset.url + query, {
        headers: { Accept: "text/html", "X-Requested-With": "fetch" },
      });
    } catch {
      return; // the sign in the header says so
    }
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    body.replaceChildren(...page.body.childNodes);
    window.consoleTimes(body);
    for (const name of open) {
      const details = body.querySelector(`details[data-keep="${name}"]`);
      if (details) details.open = true;
    }
    if (place !== null) {
      const link = [...body.querySelectorAll("a")].find((a) => a.getAttribute("href") === place);
      if (link) link.focus();
    }
  }

  body.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-choice]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    query = new URL(link.href).search;
    window.history.replaceState(null, "", query);
    refresh();
  });

  setInterval(refresh, CHARTS_MS);
})();
