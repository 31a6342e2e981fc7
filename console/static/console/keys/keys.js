"use strict";
// Pages of keys: presets that fill in the form, copying, and forms that are sent once.
(() => {
  const form = document.getElementById("apikey_form");
  const inputs = document.getElementById("preset-inputs");

  function fillIn(name, value) {
    const fields = [...form.querySelectorAll(`[name="${name}"]`)];
    for (const field of fields) {
      if (field.type === "checkbox") {
        field.checked = Array.isArray(value) ? value.includes(field.value) : value;
      } else {
        field.value = value;
      }
    }
  }

  if (form && inputs) {
    const presets = JSON.parse(inputs.textContent);
    const links = [...document.querySelectorAll("[data-preset]")];
    const said = document.querySelector(".key-filled");
    for (const link of links) {
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        for (const [name, value] of Object.entries(presets[link.dataset.preset])) fillIn(name, value);
        for (const other of links) other.toggleAttribute("aria-current", false);
        link.setAttribute("aria-current", "true");
        said.textContent = `${link.querySelector("strong").textContent} is filled in: change what you like, then save.`;
      });
    }
  }

  // Where there is no clipboard (plain HTTP from afar), what is selected is copied.
  async function copy(field) {
    if (navigator.clipboard) return navigator.clipboard.writeText(field.value);
    field.select();
    if (!document.execCommand("copy")) throw new Error("no clipboard");
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", async () => {
      const said = document.querySelector(".key-copied");
      try {
        await copy(field);
        button.textContent = "Copied";
        said.textContent = "Copied.";
      } catch {
        field.select();
        said.textContent = "The browser does not let the page copy: it is selected, press Ctrl+C.";
      }
    });
  }

  for (const field of document.querySelectorAll(".key-copy :is(input, textarea)")) {
    field.addEventListener("focus", () => field.select());
  }

  // A second click before the answer sends nothing. Coming back by the browser's button may.
  for (const once of document.querySelectorAll("#apikey_form, form[data-once]")) {
    let sent = false;
    once.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
    });
    window.addEventListener("pageshow", () => { sent = false; });
  }
})();
