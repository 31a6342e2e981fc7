"use strict";
// A form is sent once: a second click, or a second Enter, changes nothing. What a script sends
// itself sees to that itself.
(() => {
  // On the window: after whoever handles a form itself.
  window.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.id === "changelist-form") return;
    if ("sent" in form.dataset) event.preventDefault();
    else form.dataset.sent = "";
  });
  // The back button shows the page as it was left.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
})();
