// The payer's page works without this script, which shows that a payment is under way.
"use strict";

for (const form of document.querySelectorAll("form[data-pay]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = form.querySelector("button[type=submit]");
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
  });
}

// A page taken from the back-forward cache must be usable again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

const timer = document.querySelector("[data-expires-in]");
if (timer) {
  const end = performance.now() + Number(timer.dataset.expiresIn) * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (left > 15) return;
    timer.hidden = false;
    timer.textContent = left > 0
      ? `This code runs out in ${left} s; a fresh one is one tap away.`
      : "This code has run out; paying now offers you a fresh one.";
    if (left <= 0) clearInterval(interval);
  };
  const interval = setInterval(tick, 500);
  tick();
}
