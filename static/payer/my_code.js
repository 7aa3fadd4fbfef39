// Renews the payment code each minute, and goes on when the counter has scanned it.
"use strict";

const POLL_MS = 1000;
const holder = document.querySelector(".payment-code");

async function renew() {
  const answer = await fetch("/wallet/code/part");
  if (!answer.ok) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = parsed.querySelector(".code-in");
  // Both pictures are decoded before they replace the old ones: without that they flash.
  await Promise.all([...fresh.querySelectorAll("img")].map((picture) => picture.decode().catch(() => {})));
  const changed = fresh.dataset.digits !== holder.querySelector(".code-in").dataset.digits;
  holder.replaceChildren(document.adoptNode(fresh));
  if (changed) document.getElementById("code-announcement").textContent = "A new payment code is shown";
}

async function goOn() {
  const answer = await fetch(`/wallet/code/state?since=${holder.dataset.since}`);
  if (!answer.ok) return false;
  const { go } = await answer.json();
  if (go) window.location.assign(go);
  return Boolean(go);
}

async function watch() {
  let shown = holder.querySelector(".code-in");
  let end = performance.now() + Number(shown.dataset.left) * 1000;
  for (;;) {
    if (!document.hidden && await goOn().catch(() => false)) return;
    if (performance.now() >= end) await renew().catch(() => {});
    if (holder.querySelector(".code-in") !== shown) {
      shown = holder.querySelector(".code-in");
      end = performance.now() + Number(shown.dataset.left) * 1000;
    }
    const left = Math.max(Math.ceil((end - performance.now()) / 1000), 0);
    shown.querySelector("[data-countdown]").textContent = left;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

if (holder) watch();

const within = document.querySelector("[data-pin-within]");
if (within) {
  const until = performance.now() + Number(within.dataset.pinWithin) * 1000;
  const clock = setInterval(() => {
    const left = Math.ceil((until - performance.now()) / 1000);
    within.hidden = left > 20;
    within.textContent = left > 0
      ? `The shop waits for another ${left} s.`
      : "The shop has stopped waiting. Nothing was charged.";
    if (left <= 0) clearInterval(clock);
  }, 500);
  // The counter may give up sooner: this address then redirects, and the page follows.
  setInterval(async () => {
    if (document.hidden || document.querySelector("form[data-sent]")) return;
    const answer = await fetch(window.location.href, { redirect: "manual" }).catch(() => null);
    if (answer?.type === "opaqueredirect") window.location.reload();
  }, 2000);
}
