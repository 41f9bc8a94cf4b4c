"use strict";
// Live updates, and times in the reader's zone. Every page works without it.

const UNITS = [[172800, 86400, "d"], [7200, 3600, "h"], [60, 60, "m"], [0, 1, "s"]];

function span(seconds) {
  const [, size, unit] = UNITS.find(([least]) => seconds >= least) || UNITS[3];
  return `${Math.round(seconds / size)}${unit}`;
}

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const away = (at.getTime() - Date.now()) / 1000;
    const text = away <= 0 ? `${span(-away)} ago` : `in ${span(away)}`;
    if (time.textContent !== text) {
      time.textContent = text;
    }
    time.title = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  }
}

function keepOpen(old, fresh) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (same) {
      same.open = details.open;
    }
  }
}

// What needs a script is there where scripts run.
function enliven(root) {
  tellTimes(root);
  for (const button of root.querySelectorAll("button[data-hls]")) {
    button.hidden = false;
  }
}

function playFilm(button) {
  const { hls: path, player: script } = button.dataset;
  const film = document.createElement("video");
  film.controls = true;
  button.replaceWith(film);
  const player = document.createElement("script");
  player.src = script;
  player.addEventListener("load", () => {
    if (Hls.isSupported()) {
      const hls = new Hls({ enableWorker: false });
      hls.loadSource(path);
      hls.attachMedia(film);
    } else {
      film.src = path;
    }
    film.play();
  });
  document.head.append(player);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-hls]");
  if (button) {
    playFilm(button);
  }
});

function busy(part) {
  if (part.querySelector("video")) {
    return true;
  }
  const active = document.activeElement;
  return active && active !== document.body && part.contains(active) && active.matches("input, select, textarea, pre");
}

// What each part was last given.
const SHOWN = new WeakMap();

// Where the reader was within a part, so that the same place has the focus afterwards.
function focused(part) {
  const places = [...part.querySelectorAll("a, button, summary")];
  const at = places.indexOf(document.activeElement);
  return at < 0 ? null : () => [...part.querySelectorAll("a, button, summary")][at]?.focus({ preventScroll: true });
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = document.getElementById(part.id);
    if (!old || busy(old) || SHOWN.get(old) === part.innerHTML) {
      continue;
    }
    const again = focused(old);
    const shown = part.innerHTML;
    keepOpen(old, part);
    old.replaceChildren(...document.adoptNode(part).childNodes);
    SHOWN.set(old, shown);
    enliven(old);
    again?.();
  }
}

let source = null;

function listen() {
  if (source || document.hidden) {
    return;
  }
  const beat = document.getElementById("beat");
  source = new EventSource(location.pathname + location.search);
  source.addEventListener("open", () => {
    beat.hidden = false;
    beat.classList.remove("lost");
    beat.textContent = "live";
  });
  source.addEventListener("page", (event) => show(event.data));
  source.addEventListener("error", () => {
    beat.hidden = false;
    beat.classList.add("lost");
    beat.textContent = "reconnecting";
  });
}

function rest() {
  source?.close();
  source = null;
}

enliven(document);
setInterval(() => document.hidden || tellTimes(document), 1000);
if (document.body.dataset.live) {
  listen();
  // A tab that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", listen);
}
