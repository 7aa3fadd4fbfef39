// The keypad's buttons, and the list of sales, which follows the events.
"use strict";

const form = document.querySelector("[data-keypad]");
const amount = document.getElementById("amount");
const currency = document.getElementById("currency");
const places = JSON.parse(form.dataset.places);

function fitToCurrency() {
  const decimals = places[currency.value];
  amount.placeholder = decimals ? `0.${"0".repeat(decimals)}` : "0";
  form.querySelector("[data-key='.']").disabled = decimals === 0;
}

function press(key) {
  if (key === "delete") {
    amount.value = amount.value.slice(0, -1);
    return;
  }
  const [, fraction] = amount.value.split(".");
  if (fraction !== undefined && (key === "." || fraction.length >= places[currency.value])) return;
  if (amount.value.replace(".", "").length >= 9) return;
  if (key === "." && amount.value === "") amount.value = "0";
  amount.value = amount.value === "0" && key !== "." ? key : amount.value + key;
}

form.querySelector(".keys").hidden = false;
form.querySelector(".keys").addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]");
  if (key) press(key.dataset.key);
});
currency.addEventListener("change", fitToCurrency);
fitToCurrency();

const sales = document.querySelector("[data-live-sales]");
let refreshing = false;

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  await new Promise((resolve) => setTimeout(resolve, 150));
  refreshing = false;
  const answer = await fetch("/sales");
  if (answer.ok) sales.innerHTML = await answer.text();
}

const events = new EventSource("/events");
for (const kind of ["order-created", "order-authorizing", "order-paid", "order-paid-late", "order-declined",
  "order-expired", "order-cancelled", "order-refunded", "order-unknown", "payment-reversed"]) {
  events.addEventListener(kind, () => refresh().catch(() => {}));
}
// A sale by a printed code needs nobody at the counter, so the page announces it.
const announcement = document.querySelector("[data-sticker-announcement]");
events.addEventListener("order-paid", async (event) => {
  const order = JSON.parse(event.data).order_id;
  const answer = await fetch("/sales");
  if (!answer.ok) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const sale = parsed.querySelector(`[data-order="${CSS.escape(order)}"][data-sticker]`);
  if (!sale) return;
  announcement.textContent = `Paid by printed code: ${sale.dataset.sticker}`;
  announcement.hidden = false;
});
window.addEventListener("pagehide", () => events.close());
