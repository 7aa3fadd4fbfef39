// The table of deliveries, kept up to date while the page is looked at.
"use strict";

const deliveries = document.getElementById("deliveries");

const refresh = async () => {
  // Nobody's button is taken away from under the finger or the keyboard.
  if (document.hidden || deliveries.contains(document.activeElement) || deliveries.matches(":active")) return;
  const answer = await fetch("/webhooks/deliveries");
  if (!answer.ok) return;
  const fresh = await answer.text();
  if (fresh !== deliveries.dataset.shown) deliveries.innerHTML = deliveries.dataset.shown = fresh;
};

setInterval(() => refresh().catch(() => {}), 2000);
