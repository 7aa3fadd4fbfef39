// A click on a message of the diagram opens its step.
"use strict";

function openStep() {
  if (!/^#(left|right)-\d+$/.test(window.location.hash)) return;
  const step = document.querySelector(window.location.hash);
  if (!step) return;
  step.open = true;
  step.scrollIntoView({ block: "center" });
  step.querySelector("summary").focus({ preventScroll: true });
}

window.addEventListener("hashchange", openStep);
openStep();

const picks = document.querySelector("[data-picks]");
picks?.addEventListener("change", () => picks.requestSubmit());
