"use strict";
// On a phone the header's ways are a strip: show the part where this page is.
(() => {
  const here = document.querySelector(".ways [aria-current]");
  if (here) here.closest(".ways").scrollLeft = here.offsetLeft - 32;
})();

// What every page of the console does: the counts in the header, the banner of the service.
(() => {
  const banner = document.getElementById("service-banner");
  if (!banner || "off" in banner.dataset || !window.consoleLive) return;
  const title = document.title;

  const WORDS = {
    paused: ["Paused", "No new messages are taken; queued runs wait."],
    draining: ["Draining", "No new messages are taken; what waits is finished."],
  };

  function showService(service) {
    banner.hidden = service.state === "running";
    if (banner.hidden) return;
    const [state, words] = WORDS[service.state] || [service.state, ""];
    banner.querySelector('[data-service="state"]').textContent = state;
    banner.querySelector('[data-service="words"]').textContent = words;
    banner.querySelector('[data-service="reason"]').textContent = service.reason;
  }

  function showBadge(name, count) {
    for (const badge of document.querySelectorAll(`[data-badge="${name}"]`)) {
      badge.hidden = !count;
      badge.textContent = count;
      badge.setAttribute("aria-label", `, ${count} waiting`);
    }
    document.title = count ? `(${count}) ${title}` : title;
  }

  const handlers = {
    overview(data) {
      showService(data.service);
      showBadge("approvals", data.approvals);
      document.dispatchEvent(new CustomEvent("console:overview", { detail: data }));
    },
  };
  window.consoleLive(banner.dataset.feed, handlers, { glance: "overview" });

  // Menus close as menus do.
  const menus = () => document.querySelectorAll(":is(details.person, details.menu)[open]");
  document.addEventListener("click", (event) => {
    for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    for (const menu of menus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();

// Figures that any page may show live: <dd data-live="running">.
(() => {
  const units = ["bytes", "KB", "MB", "GB", "TB"];

  const forms = {
    count(value) {
      for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
        if (value >= limit) {
          const scaled = value / (letter === "k" ? 1e3 : limit);
          return (scaled < 100 ? String(Number(scaled.toPrecision(3))) : scaled.toFixed(0)) + letter;
        }
      }
      return Number(value).toLocaleString("en-US");
    },
    money: (value) => `$${value}`,
    seconds(value) {
      if (value === null) return "-";
      return value < 1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(2)} s`;
    },
    bytes(value) {
      let size = value;
      let unit = 0;
      while (size >= 1024 && unit < units.length - 1) {
        size /= 1024;
        unit += 1;
      }
      return `${unit ? size.toFixed(1) : size}\u00a0${units[unit]}`;
    },
    moment: (value) => (value ? moment(value) : "none"),
    fault: (value) => (value ? `${value.code}, ${moment(value.at)}` : "none"),
  };

  function moment(text) {
    const at = new Date(text);
    const seconds = Math.round((Date.now() - at.getTime()) / 1000);
    if (seconds < 60) return "just now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return window.consoleMoment(text);
  }

  const plain = (value) => (typeof value === "number" ? value.toLocaleString("en-US") : value);

  const look = (path, detail) =>
    path.split(".").reduce((data, name) => (data ? data[name] : null), detail);

  document.addEventListener("console:overview", (event) => {
    for (const element of document.querySelectorAll("[data-live-tone]")) {
      element.className = `badge ${look(element.dataset.liveTone, event.detail)}`;
    }
    for (const element of document.querySelectorAll("[data-live]")) {
      const value = look(element.dataset.live, event.detail);
      if (value === undefined) continue;
      const tile = element.closest("[data-warn-above]");
      if (tile) tile.classList.toggle("warn", value > Number(tile.dataset.warnAbove));
      const form = forms[element.dataset.form] || plain;
      const text = String(form(value));
      if (element.textContent === text) continue;
      element.textContent = text;
      element.classList.remove("changed");
      void element.offsetWidth; // so that the mark of a change begins anew
      element.classList.add("changed");
    }
  });

  window.consoleForms = { ...forms, when: moment };
})();
