// Scans the customer's code: by a scanner that types, a photo, or the counter's own camera.
"use strict";

// A barcode of nineteen digits needs all the pixels that a camera has.
const WIDTH = 1280;
const PAUSE_MS = 200;
// A scanner types a whole code faster than any person types two keys.
const FASTEST_PERSON_MS = 60;
let stream = null;
let typed = "";
let lastKey = 0;

const section = () => document.querySelector("[data-customer-code]");
const show = (words) => {
  const message = section()?.querySelector("[data-scan-message]");
  if (message && message.textContent !== words) message.textContent = words;
};

function charge(text) {
  const form = section()?.querySelector("[data-typed]");
  if (!form) return;
  form.querySelector("input").value = text;
  form.requestSubmit();
}

// A burst of keys that ends with Enter comes from a scanner, wherever the focus is.
document.addEventListener("keydown", (event) => {
  if (!section() || event.target.closest("input, textarea, select") || event.ctrlKey || event.altKey || event.metaKey) return;
  const now = performance.now();
  if (now - lastKey > FASTEST_PERSON_MS) typed = "";
  lastKey = now;
  if (event.key === "Enter") {
    if (typed.length >= 8) {
      event.preventDefault();
      charge(typed);
    }
    typed = "";
  } else if (event.key.length === 1) {
    typed += event.key;
  }
}, true);

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-counter-photo]");
  if (form && event.target.files.length) form.requestSubmit();
});

function stop() {
  for (const track of stream?.getTracks() || []) track.stop();
  stream = null;
}

async function readFrame(video, canvas, order) {
  const scale = Math.min(1, WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  const answer = await fetch(`/orders/${order}/frame`, { method: "POST", body: picture });
  return answer.ok ? answer.json() : { taken: false, trouble: null };
}

async function scan(video, order) {
  const canvas = document.createElement("canvas");
  // When the order changes its state the stage is replaced, and the video with it: stop then.
  while (stream?.active && video.isConnected) {
    if (video.videoWidth > 0) {
      const { taken, trouble } = await readFrame(video, canvas, order).catch(() => ({ taken: false, trouble: null }));
      if (taken) break;
      show(trouble || "Hold the customer's code before the camera.");
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  stop();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-start-camera]");
  if (!button) return;
  const place = section();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  } catch (error) {
    show(error.name === "NotAllowedError" ? "The camera was not allowed; read a photo instead." : "No camera can be used here; read a photo instead.");
    return;
  }
  const finder = place.querySelector("[data-finder]");
  const video = finder.querySelector("video");
  video.srcObject = stream;
  finder.hidden = false;
  button.hidden = true;
  scan(video, place.dataset.customerCode);
});

// Live scanning needs https or this machine itself: the button is shown only where it works.
function offerCamera() {
  const button = section()?.querySelector("[data-start-camera]");
  if (button && !stream && navigator.mediaDevices?.getUserMedia) button.hidden = false;
}

new MutationObserver(offerCamera).observe(document.getElementById("stage"), { childList: true, subtree: true });
window.addEventListener("pagehide", stop);
offerCamera();
