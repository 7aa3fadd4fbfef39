// Updates the table of deliveries while the page is visible.
"use strict";

const deliveries = document.getElementById("deliveries");

const refresh = async () => {
  // Do not replace a button while it is focused or pressed.
  if (document.hidden || deliveries.contains(document.activeElement) || deliveries.matches(":active")) return;
  const answer = await fetch("/webhooks/deliveries");
  if (!answer.ok) return;
  const fresh = await answer.text();
  if (fresh !== deliveries.dataset.shown) deliveries.innerHTML = deliveries.dataset.shown = fresh;
};

setInterval(() => refresh().catch(() => {}), 2000);
