// Live scanning: the server reads frames of the camera and answers with the code's page.
"use strict";

const start = document.getElementById("start-live");
const live = document.getElementById("live");
const video = document.getElementById("camera");
const message = document.getElementById("live-message");
const WIDTH = 640;
const PAUSE_MS = 250;
let stream = null;

if (navigator.mediaDevices?.getUserMedia) {
  start.hidden = false;
} else {
  document.getElementById("no-live").hidden = false;
}

async function readFrame(canvas) {
  const scale = Math.min(1, WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
  const answer = await fetch("/wallet/frame", { method: "POST", body: picture });
  return answer.ok ? answer.json() : { target: null, trouble: null };
}

async function scan() {
  const canvas = document.createElement("canvas");
  while (stream?.active) {
    if (video.videoWidth > 0) {
      const { target, trouble } = await readFrame(canvas).catch(() => ({ target: null, trouble: null }));
      if (target) {
        stop();
        window.location.assign(target);
        return;
      }
      if (trouble) message.textContent = trouble;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function stop() {
  for (const track of stream?.getTracks() || []) track.stop();
  stream = null;
}

start.addEventListener("click", async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    message.textContent = error.name === "NotAllowedError"
      ? "The camera was not allowed; take a photo instead."
      : "No camera can be used here; take a photo instead.";
    live.hidden = false;
    live.querySelector(".finder").hidden = true;
    return;
  }
  video.srcObject = stream;
  live.hidden = false;
  start.hidden = true;
  scan();
});

// A photo is sent as soon as it is taken: one tap fewer.
const photo = document.querySelector("[data-photo]");
photo.querySelector("input").addEventListener("change", (event) => {
  if (event.target.files.length) photo.requestSubmit();
});
window.addEventListener("pagehide", stop);
