// Keeps pages up to date and confirms actions in a dialog. Without scripts, every page is readable and every action has a page.
"use strict";

// ---- Time, by the server's clock.
const skew = Date.parse(document.body.dataset.now) - Date.now();
const now = () => Date.now() + skew;

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + String(s % 60).padStart(2, "0") + " s";
  if (s < 172800) return Math.floor(s / 3600) + " h " + String(Math.floor(s / 60) % 60).padStart(2, "0") + " min";
  return Math.floor(s / 86400) + " days";
}

function tick() {
  for (const e of document.querySelectorAll("[data-until]")) {
    const left = Date.parse(e.dataset.until) - now();
    e.textContent = left > 0 ? e.dataset.word + " in " + span(left) + "." : e.dataset.word + " now.";
  }
  for (const e of document.querySelectorAll("time[data-ago]")) {
    const at = Date.parse(e.dateTime), ago = now() - at;
    e.title = new Date(at).toLocaleString();
    e.textContent = ago < 5000 ? "just now" : ago < 86400000 ? span(ago - ago % (ago > 120000 ? 60000 : 1000)).replace(" 00 s", "") + " ago" : new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

function clocks(root) {
  for (const e of root.querySelectorAll("time[data-clock]")) {
    const at = new Date(e.dateTime);
    e.textContent = at.toLocaleTimeString([], { hour12: false });
    e.title = at.toLocaleString();
    delete e.dataset.clock;
  }
}

// ---- Theme: the system's, until the user selects one.
const themeButton = document.getElementById("theme");
function showTheme() {
  const chosen = document.documentElement.dataset.theme || "auto";
  themeButton.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosen];
  themeButton.setAttribute("aria-label", "Theme: " + chosen + ". Change theme");
}
themeButton.addEventListener("click", () => {
  const next = { auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.theme || "auto"];
  if (next === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("rollcall-theme", next); } catch { /* the choice then lasts as long as the page */ }
  showTheme();
});
themeButton.hidden = false;
showTheme();

// ---- Connection: a stream that resumes where it was, and shows when it is disconnected.
const liveSign = document.getElementById("live");
let lastWord = 0;

function connection(state) {
  liveSign.hidden = false;
  liveSign.className = "live " + state;
  const words = { on: "live", over: "ended", lost: "disconnected: this page may be out of date" };
  const text = state === "lost" && lastWord ? "disconnected since " + new Date(lastWord).toLocaleTimeString([], { hour12: false }) : words[state];
  if (liveSign.textContent !== text) liveSign.textContent = text;
  document.body.classList.toggle("stale", state === "lost");
}

const silence = 22000; // the server sends something at least every 15 s

// follow reads a stream and reconnects: onEvent gets each event's kind and data. It resolves when the stream has ended for good.
async function follow(url, onEvent, onOpen = () => {}) {
  let last = "", wait = 500;
  for (;;) {
    const stop = new AbortController();
    let guard = setTimeout(() => stop.abort(), silence);
    try {
      const headers = { Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch(url, { headers, signal: stop.signal, cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.status === 204) { connection("over"); return; }
      if (!answer.ok) throw new Error("status " + answer.status);
      onOpen();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(guard);
        guard = setTimeout(() => stop.abort(), silence);
        lastWord = Date.now();
        wait = 500;
        connection("on");
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          let kind = "message", data = "";
          for (const line of block.split("\n")) {
            if (line.startsWith("id: ")) last = line.slice(4);
            else if (line.startsWith("event: ")) kind = line.slice(7);
            else if (line.startsWith("data: ")) data += line.slice(6);
          }
          if (kind === "end") {
            const reason = JSON.parse(data).reason;
            if (/deployment/.test(reason)) { connection("over"); onEvent("over", {}); return; }
            if (/credential/.test(reason)) { location.reload(); return; }
          } else if (kind === "reset") {
            location.reload(); // events on this page may be void
            return;
          } else if (data) onEvent(kind, JSON.parse(data));
        }
      }
    } catch { /* retried below */ }
    clearTimeout(guard);
    connection("lost");
    await new Promise((r) => setTimeout(r, wait + Math.random() * 250));
    wait = Math.min(wait * 2, 5000);
  }
}

// ---- Parts of a page, rendered by the server.
async function redraw(part, id) {
  const answer = await fetch(location.href, { headers: { "Rollcall-Part": part, Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/html")) throw new Error("status " + answer.status);
  const place = document.getElementById(id);
  const focused = place.contains(document.activeElement) && document.activeElement.getAttribute("href");
  // The wrapping element keeps leading white space, as in the page itself: else no node would match its counterpart.
  const fresh = new DOMParser().parseFromString("<div>" + await answer.text() + "</div>", "text/html").body.firstElementChild;
  // An unchanged reason keeps its nodes, so that a screen reader does not announce it again.
  const reason = place.querySelector("#reason"), newReason = fresh.querySelector("#reason");
  if (reason && newReason && reason.dataset.said === newReason.dataset.said) newReason.replaceChildren(...reason.cloneNode(true).childNodes);
  morphChildren(place, fresh);
  if (focused) place.querySelector('[href="' + CSS.escape(focused) + '"]')?.focus();
  clocks(place);
  tick();
}

// morph makes one node equal to another and does not touch equal ones: a button that is just being pressed stays in
// place and never becomes another one.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== 1 || old.nodeName !== fresh.nodeName || old.getAttribute("href") !== fresh.getAttribute("href")) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((node, i) => { if (i < before.length) morph(before[i], node); else old.append(node); });
  before.slice(after.length).forEach((node) => node.remove());
}

// soon merges calls: the first runs at once, further ones at most every ms.
function soon(ms, work) {
  let busy = false, again = false;
  return async function run() {
    if (busy) { again = true; return; }
    busy = true;
    do {
      again = false;
      try { await work(); } catch { again = true; }
      await new Promise((r) => setTimeout(r, ms));
    } while (again);
    busy = false;
  };
}

// ---- Pages with lists.
for (const place of document.querySelectorAll("[data-live]")) {
  const refresh = soon(700, () => redraw(place.dataset.part, place.id));
  follow(place.dataset.live, refresh, refresh); // again when it opens: events may have been missed
  // Some of what is shown changes without an event.
  if (place.dataset.every) setInterval(() => { if (!document.hidden) refresh(); }, place.dataset.every * 1000);
}

// ---- One deployment.
const deployment = document.getElementById("deployment");
let cells = new Map();

function indexCells() {
  cells = new Map();
  for (const c of document.querySelectorAll(".cells .cell")) cells.set(c.dataset.t, c);
  recount();
}

function plain(state) { return state.replaceAll("_", " "); }

function updateCell(event) {
  const cell = cells.get(event.target);
  if (!cell || !event.to) return;
  cell.className = "cell " + event.to;
  const runs = event.to === "updated" ? deployment.dataset.version : event.to === "rolled_back" ? cell.dataset.old : "";
  cell.title = event.target + ": " + plain(event.to) + (runs ? ", runs " + runs : "");
  const small = cell.querySelector("small");
  if (small && runs) small.textContent = runs;
}

function recount() {
  const all = {};
  for (const wave of document.querySelectorAll(".wave")) {
    const sums = {};
    for (const c of wave.querySelectorAll(".cell")) {
      const state = c.classList[1];
      sums[state] = (sums[state] || 0) + 1;
      all[state] = (all[state] || 0) + 1;
    }
    const says = Object.entries(sums).map(([s, n]) => n + " " + plain(s)).join(", ");
    const place = wave.querySelector(".wave-counts");
    if (place.textContent !== says) place.textContent = says;
  }
  for (const item of document.querySelectorAll("#legend [data-state]")) {
    const n = all[item.dataset.state] || 0;
    item.hidden = n === 0;
    item.querySelector("b").textContent = n;
  }
}

function write(event) {
  const log = document.getElementById("log");
  const newest = log.lastElementChild;
  if (newest && Number(newest.dataset.seq) >= event.seq) return;
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
  const line = document.createElement("li");
  line.dataset.seq = event.seq;
  const add = (tag, text, more) => {
    const e = Object.assign(document.createElement(tag), { textContent: text }, more);
    line.append(e, " ");
    return e;
  };
  const time = add("time", "", { dateTime: event.at });
  time.dataset.clock = "";
  add("span", event.type, { className: "type" });
  if (event.target) add("b", event.target); else if (event.wave) add("b", "wave " + event.wave);
  add("span", event.message, { className: "says" });
  if (event.actor !== "engine") add("em", event.actor);
  clocks(line);
  log.append(line);
  while (log.children.length > 500) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

if (deployment) {
  indexCells();
  const log = document.getElementById("log");
  log.scrollTop = log.scrollHeight;
  if (deployment.dataset.stream) watch();
  else { lastWord = Date.now(); connection("over"); }
}

function watch() {
  const summary = soon(400, () => redraw("summary", "part-summary"));
  const grid = soon(1500, async () => { await redraw("grid", "part-grid"); indexCells(); });
  let pending = false;
  const recountSoon = () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; recount(); });
  };
  follow(deployment.dataset.stream, (kind, data) => {
    if (kind === "over") { summary(); grid(); return; }
    if (kind === "deployment") { summary(); return; }
    write(data);
    if (!data.target) return;
    updateCell(data);
    recountSoon();
    if (data.type === "target.failed" || data.type === "target.unknown") grid();
  });
}

// ---- Confirmations: the action's page becomes a dialog.
const dialog = document.getElementById("ask");
document.addEventListener("click", async (click) => {
  const link = click.target.closest("a[data-ask], dialog a[data-close]");
  if (!link || click.ctrlKey || click.metaKey || click.shiftKey) return;
  click.preventDefault();
  if (link.dataset.close !== undefined) { dialog.close(); return; }
  try {
    const answer = await fetch(link.href, { cache: "no-store" });
    const question = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("part-ask");
    if (!question) throw new Error("no question");
    dialog.replaceChildren(question);
    dialog.showModal();
    (question.querySelector("#confirm") || question.querySelector("a")).focus();
  } catch { location.href = link.href; }
});
document.addEventListener("keydown", (key) => {
  if (key.key !== " " || !key.target.matches?.("a[role=button]")) return;
  key.preventDefault();
  key.target.click();
});
// A second click does not submit the form again.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  const button = event.target.querySelector("button");
  setTimeout(() => { button.disabled = true; }, 0);
});
addEventListener("pageshow", (shown) => { if (shown.persisted) location.reload(); });

clocks(document);
tick();
setInterval(tick, 1000);
document.documentElement.dataset.ready = "";
