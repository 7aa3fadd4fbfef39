// Updates one order's page: each event fetches the changing part and swaps what differs.
"use strict";

const stage = document.getElementById("stage");
const announcement = document.getElementById("announcement");
const order = stage.dataset.order;
let renewal = 0;
let request = null;
let requestAnother = false;

const WORDS = {
  paid: "Paid", preauthorised: "Held", declined: "Declined", expired: "This order has run out",
  cancelled: "Cancelled", authorizing: "Paying", "paid-late": "Paid too late", refunded: "Refunded",
};

function state() {
  return stage.querySelector("[data-state]").dataset.state;
}

async function fetchStage() {
  const answer = await fetch(`/orders/${order}/stage${window.location.search}`);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  return parsed.querySelector("[data-state]");
}

// The next picture is decoded before it replaces the old one: without that the code flashes.
async function swapCode(fresh) {
  const shown = document.getElementById("code");
  const next = fresh.querySelector("#code");
  if (!shown || !next || shown.dataset.code === next.dataset.code) return;
  const picture = new Image();
  picture.src = next.getAttribute("src");
  await picture.decode();
  shown.src = picture.src;
  shown.dataset.code = next.dataset.code;
  shown.dataset.renewIn = next.dataset.renewIn;
  document.getElementById("link").textContent = fresh.querySelector("#link").textContent;
}

function swapReader(fresh) {
  const shown = stage.querySelector(".tap-card");
  const next = fresh.querySelector(".tap-card");
  if (!shown || !next || shown.innerHTML === next.innerHTML) return;
  const opened = shown.querySelector("details[open]") !== null;
  const focused = shown.contains(document.activeElement) ? document.activeElement.value : null;
  shown.replaceChildren(...next.childNodes);
  if (opened && shown.querySelector("details")) shown.querySelector("details").open = true;
  if (focused) shown.querySelector(`button[value="${CSS.escape(focused)}"]`)?.focus();
}

function swapScanned(fresh) {
  const shown = document.getElementById("scanned");
  const next = fresh.querySelector("#scanned");
  if (!shown || !next || shown.hidden === next.hidden) return;
  shown.hidden = next.hidden;
  if (!next.hidden) announcement.textContent = next.textContent.trim();
}

async function refresh() {
  const fresh = await fetchStage();
  // An event of the reader must not clear a PIN that is being typed.
  const shown = stage.querySelector("[data-state]");
  if (fresh.dataset.wait && fresh.dataset.wait === shown.dataset.wait) return;
  const same = fresh.dataset.state === "open" && state() === "open"
    && !fresh.querySelector(".declined") && !stage.querySelector(".declined");
  if (same) {
    await swapCode(fresh);
    swapReader(fresh);
    swapScanned(fresh);
  } else {
    const before = stage.innerHTML;
    stage.replaceChildren(fresh);
    if (before !== stage.innerHTML) announce(fresh);
  }
  prepare();
}

function announce(fresh) {
  const verdict = fresh.querySelector(".verdict h2, .declined");
  announcement.textContent = (verdict ? verdict.textContent : WORDS[fresh.dataset.state] || "").trim();
  fresh.querySelector("[data-next], #pin")?.focus({ preventScroll: true });
}

// One request at a time; events meanwhile cause one more request after it.
function update() {
  if (request) {
    requestAnother = true;
    return;
  }
  request = refresh()
    .catch(() => setTimeout(update, 1000))
    .finally(() => {
      request = null;
      if (requestAnother) {
        requestAnother = false;
        update();
      }
    });
}

async function copy(button) {
  const text = document.getElementById("link").textContent;
  const label = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain http has no clipboard interface: copy through a selected text box.
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  const before = label.textContent;
  label.textContent = "Copied";
  announcement.textContent = "It has been copied";
  setTimeout(() => { label.textContent = before; }, 2000);
}

function prepare() {
  clearTimeout(renewal);
  const code = document.getElementById("code");
  const button = stage.querySelector("[data-copy]");
  if (button) button.hidden = false;
  if (code) renewal = setTimeout(update, Number(code.dataset.renewIn) * 1000);
  preparePin();
}

let pinEnd = 0;

function preparePin() {
  const form = stage.querySelector("[data-pin]");
  pinEnd = performance.now() + Number(stage.querySelector("[data-pin-left]")?.dataset.pinLeft || 0) * 1000;
  if (!form) return;
  form.querySelector(".keys").hidden = false;
  form.querySelector("[data-without-keys]").hidden = true;
}

function pressPin(key) {
  const pin = document.getElementById("pin");
  if (key === "delete") pin.value = pin.value.slice(0, -1);
  else if (pin.value.length < pin.maxLength) pin.value += key;
}

// A PIN is sent once: the response is another page, or an event of the order follows.
stage.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-pin]");
  if (!form) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

stage.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const key = event.target.closest("[data-pin-key]");
  if (key) pressPin(key.dataset.pinKey);
});

stage.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-tap]");
  if (!form) return;
  event.preventDefault();
  const body = new FormData(form);
  body.set("card", event.submitter.value);
  fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => {});
});

// The time left is shown in the last two minutes only: a clock hurries people.
const end = performance.now() + Number(document.getElementById("time-left")?.dataset.left || 0) * 1000;
setInterval(() => {
  const pinTimer = stage.querySelector("[data-pin-left]");
  if (pinTimer) {
    const left = Math.max(Math.ceil((pinEnd - performance.now()) / 1000), 0);
    pinTimer.hidden = left > 20;
    pinTimer.textContent = left > 0 ? `Without a PIN this payment ends in ${left} s.` : "";
  }
  const timer = document.getElementById("time-left");
  if (!timer) return;
  const left = Math.round((end - performance.now()) / 1000);
  timer.hidden = left > 120;
  timer.textContent = left > 0 ? `This order stays open for another ${left} s.` : "";
  if (left <= 0 && state() === "open") update();
}, 1000);

const events = new EventSource(`/orders/${order}/events`);
for (const kind of ["snapshot", "order-authorizing", "order-waiting", "order-paid", "order-paid-late", "order-declined", "order-expired",
  "order-cancelled", "order-refunded", "order-unknown", "payment-reversed", "code-renewed", "code-opened", "reader-state"]) {
  events.addEventListener(kind, update);
}
window.addEventListener("pagehide", () => events.close());
window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
prepare();
