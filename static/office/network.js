// Updates the table of messages, unless it shows a search.
"use strict";

const table = document.getElementById("messages");

if (!table.dataset.live) {
  let waiting = false;
  const refresh = async () => {
    if (waiting) return;
    waiting = true;
    await new Promise((resolve) => setTimeout(resolve, 400));
    waiting = false;
    const answer = await fetch("/network/messages");
    if (answer.ok) table.innerHTML = await answer.text();
  };
  const events = new EventSource("/events");
  for (const kind of ["order-authorizing", "order-paid", "order-paid-late", "order-declined", "order-refunded", "order-unknown", "payment-reversed"]) {
    events.addEventListener(kind, () => refresh().catch(() => {}));
  }
  window.addEventListener("pagehide", () => events.close());
}
