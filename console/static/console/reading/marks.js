"use strict";
// Marks what hides in texts of strangers, as console/reading/text.py does: live text must not
// look different from the same text once the server has rendered it.
(() => {
  const mark = (char) => `⟨U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
  const picture = (char) => (char === "\x7f" ? "␡" : String.fromCodePoint(0x2400 + char.codePointAt(0)));

  // The lone surrogates need the flag `u`: a pair is a letter like any other.
  const RULES = [
    [/\r\n|[\u2028\u2029]/g, () => "\n"],
    [/[\x00-\x08\x0b-\x1f\x7f]/g, picture],
    [/\p{Surrogate}/gu, () => "\ufffd"],
    [/[\x80-\x9f\u202a-\u202e\u2066-\u2069]/g, mark],
    [/[\u{e0000}-\u{e007f}]/gu, mark],
    [/[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]/g, mark],
  ];
  // Languages and emoji need these: they are left as they are in prose.
  const IN_CODE = [...RULES, [/[\u200c-\u200f\ufe00-\ufe0f]/g, mark]];

  const apply = (rules, text) =>
    rules.reduce((told, [found, shown]) => told.replace(found, shown), String(text));

  window.consoleMarks = {
    prose: (text) => apply(RULES, text),
    code: (text) => apply(IN_CODE, text),
  };
})();
