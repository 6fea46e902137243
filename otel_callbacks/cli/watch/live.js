"use strict";
// Fetches new traces once a second; texts are set as text, never as HTML. The one
// fragment that is set as HTML comes escaped from the server, and no script runs in it.
const list = document.getElementById("list");
const search = document.getElementById("search");
const drawn = document.getElementById("drawn");
const state = document.getElementById("state");
let version = "";
let traces = [];
let shown = "";

const chosen = () => location.hash.slice(1);

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function item(trace) {
  const link = document.createElement("a");
  link.href = `#${trace.id}`;
  for (const outcome of trace.outcomes) {
    const dot = document.createElement("i");
    dot.className = `dot ${outcome}`;
    dot.title = outcome;
    link.append(dot);
  }
  link.append(element("strong", trace.name));
  const at = new Date(trace.started).toLocaleTimeString();
  link.append(element("small", [at, trace.service].filter(Boolean).join(", ")));
  link.append(element("small", trace.sentence));
  if (trace.left_out) link.append(element("small", `${trace.left_out} spans left out`));
  const line = document.createElement("li");
  line.append(link);
  return line;
}

function mark() {
  document.body.classList.toggle("chosen", Boolean(chosen()));
  for (const link of list.querySelectorAll("a")) {
    if (link.hash.slice(1) === chosen()) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

async function show() {
  mark();
  const id = chosen();
  const known = traces.find((trace) => trace.id === id);
  const wanted = id && `${id} ${known ? known.revision : ""}`;
  if (!id || wanted === shown) return;
  const answer = await fetch(`api/traces/${encodeURIComponent(id)}`);
  if (chosen() !== id) return;
  if (!answer.ok) {
    drawn.replaceChildren(element("p", await answer.text()));
    shown = wanted;
    return;
  }
  const open = new Set(
    [...drawn.querySelectorAll("details[open]")].map((one) => one.dataset.span));
  const focused = document.activeElement?.closest?.("details")?.dataset.span;
  drawn.innerHTML = await answer.text();
  for (const one of drawn.querySelectorAll("details")) {
    one.open = open.has(one.dataset.span);
    if (one.dataset.span === focused) one.firstElementChild.focus();
  }
  shown = wanted;
}

async function refresh() {
  const entered = search.value;
  try {
    const query = new URLSearchParams({ search: entered, version });
    const answer = await fetch(`api/traces?${query}`);
    if (answer.status === 200) {
      const found = await answer.json();
      if (entered !== search.value) return;
      ({ version, traces } = found);
      const focused = document.activeElement?.hash;
      list.replaceChildren(...traces.map(item));
      for (const link of list.querySelectorAll("a")) {
        if (link.hash === focused) link.focus();
      }
      const none = entered ? "No trace matches." : "Waiting for calls.";
      const count = traces.length === 1 ? "1 trace" : `${traces.length} traces`;
      state.textContent = traces.length ? count : none;
      await show();
    } else if (answer.status !== 204) {
      state.textContent = await answer.text();
    }
  } catch {
    state.textContent = "otel-callbacks watch does not answer; it may have ended.";
    version = "";
  }
}

function step(by) {
  const links = [...list.querySelectorAll("a")];
  const now = links.findIndex((link) => link.hash.slice(1) === chosen());
  const next = links[Math.min(Math.max(now + by, 0), links.length - 1)];
  if (next) {
    location.hash = next.hash;
    next.focus();
  }
}

search.addEventListener("input", () => {
  version = "";
  refresh();
});
addEventListener("hashchange", show);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (document.activeElement === search) search.blur();
    else location.hash = "";
  } else if (document.activeElement !== search) {
    if (event.key === "/") {
      event.preventDefault();
      location.hash = "";
      search.focus();
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  }
});
refresh();
setInterval(refresh, 1000);
