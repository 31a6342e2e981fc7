"use strict";
// Moments are written in UTC; this says them in the reader's own time zone, and says which.
(() => {
  const zone = { timeZoneName: "short" };
  const day = { day: "2-digit", month: "short" };
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const format = (options) => new Intl.DateTimeFormat(undefined, options);
  const forms = {
    "": format({ ...day, ...time, second: "2-digit", ...zone }),
    old: format({ year: "numeric", ...day, ...time, second: "2-digit", ...zone }),
    minute: format(time),
    hour: format({ weekday: "short", ...time }),
  };
  const here = forms[""].formatToParts(new Date()).find((part) => part.type === "timeZoneName").value;
  // As Django's own lists and pages write a moment: see `console.formats`.
  const written = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/;

  function moment(text, form = "") {
    const at = new Date(text);
    const isOld = form === "" && at.getFullYear() !== new Date().getFullYear();
    return forms[isOld ? "old" : form].format(at);
  }

  function wrap(cell) {
    const found = cell.childElementCount === 0 && written.exec(cell.textContent.trim());
    if (!found) return;
    const element = document.createElement("time");
    element.dateTime = `${found[1]}T${found[2]}Z`;
    element.title = cell.textContent.trim();
    cell.replaceChildren(element);
  }

  function say(root) {
    for (const cell of root.querySelectorAll("#result_list :is(td, th, a), .readonly")) wrap(cell);
    for (const element of root.querySelectorAll("time[datetime]:not([data-said])")) {
      element.dataset.said = "";
      element.textContent = moment(element.getAttribute("datetime"));
    }
    // Marks of charts, in their own form, with what else they say.
    for (const element of root.querySelectorAll("[data-at]:not([data-said])")) {
      element.dataset.said = "";
      element.textContent = moment(element.dataset.at, element.dataset.form) + (element.dataset.rest || "");
    }
    for (const element of root.querySelectorAll("[data-zone]")) element.textContent = here;
  }

  window.consoleTimes = say;
  window.consoleMoment = moment;
  say(document);
})();
