// A message of the diagram opens the step that tells what it said.
"use strict";

function open() {
  if (!/^#(left|right)-\d+$/.test(window.location.hash)) return;
  const step = document.querySelector(window.location.hash);
  if (!step) return;
  step.open = true;
  step.scrollIntoView({ block: "center" });
  step.querySelector("summary").focus({ preventScroll: true });
}

window.addEventListener("hashchange", open);
open();

const picks = document.querySelector("[data-picks]");
picks?.addEventListener("change", () => picks.requestSubmit());
