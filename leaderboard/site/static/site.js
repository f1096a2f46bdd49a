// The pages are whole without this file; it sorts, filters, shows provenance, plays pairs and keeps the colours.
"use strict";

const root = document.documentElement;
root.classList.add("js");

const THEMES = ["auto", "light", "dark"];
const store = {
  get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("theme", value); } catch { /* private mode: the choice lasts one page */ } },
};

function useTheme(name) {
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
}
useTheme(THEMES.includes(store.get()) ? store.get() : "auto");

function themeToggle(button) {
  const say = () => button.setAttribute("aria-label", `Colours: ${root.dataset.theme ?? "as the system"}`);
  say();
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    useTheme(next);
    store.set(next);
    say();
  });
}

function board(table) {
  const find = (selector) => document.querySelector(selector);
  const heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies].map((body) => ({
    body,
    rows: [...body.rows].filter((row) => !row.classList.contains("divide")),
  }));
  const rows = bodies.flatMap(({ rows }) => rows);
  const names = new Map(rows.map((row) => [row, row.cells[1].textContent.toLowerCase()]));
  const state = { key: table.dataset.sort, descending: table.dataset.dir === "descending" };
  const initial = { ...state };
  const inputs = { filter: find("[data-filter]"), badge: find("[data-badge]"), shown: find("[data-shown]"), intervals: find("[data-intervals]"), all: find("[data-all]"), select: find("[data-sort-select]") };
  const columns = [...document.querySelectorAll("[data-column]")];
  const status = find("[data-status]");
  let limit = 100;
  const sheet = document.head.appendChild(document.createElement("style")).sheet;

  const cellOf = (row) => row.cells[Number(state.key) + 2];
  function compare(a, b) {
    if (state.key === "name") return names.get(a).localeCompare(names.get(b)) * (state.descending ? -1 : 1);
    const [x, y] = [cellOf(a).dataset.v, cellOf(b).dataset.v];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // without a value: last, always
    return (x - y) * (state.descending ? -1 : 1);
  }

  function sort() {
    for (const { body, rows } of bodies) {
      rows.sort(compare);
      for (const row of rows) row.cells[0].textContent = state.key === "name" ? "–" : cellOf(row).dataset.r ?? "–";
      body.append(...rows);
    }
    for (const head of heads) {
      if (head.dataset.key === state.key) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    columnsShown();
    if (state.key !== "name") inputs.select.value = state.key;
  }

  function sortBy(key) {
    const head = heads.find((cell) => cell.dataset.key === key);
    if (state.key === key) state.descending = !state.descending;
    else Object.assign(state, { key, descending: key !== "name" && head.dataset.better !== "lower" });
    sort();
    remember();
    say(`Sorted by ${head.textContent.trim()}, ${state.descending ? "descending" : "ascending"}. `);
  }

  function filter() {
    const words = inputs.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const level = Number(inputs.badge.value);
    let [fitting, visible] = [0, 0];
    for (const { body, rows } of bodies) {
      let any = false;
      for (const row of rows) {
        const fits = words.every((word) => names.get(row).includes(word)) && row.dataset.level >= level &&
          (inputs.shown.checked || !body.classList.contains("shown"));
        fitting += fits;
        const here = fits && (visible < limit || body.classList.contains("shown"));
        row.hidden = !here;
        any ||= here;
        visible += here;
      }
      body.hidden = !any;
    }
    find("[data-none]").hidden = fitting > 0;
    find("[data-rest]").hidden = visible === fitting;
    find("[data-rest] button").textContent = `Show all ${fitting.toLocaleString("en")} methods`;
    table.parentElement.hidden = fitting === 0;
    table.classList.add("ready");
    return fitting;
  }

  // One rule a column: cheaper than touching each cell of a long table.
  function columnsShown() {
    while (sheet.cssRules.length) sheet.deleteRule(0);
    for (const box of columns) {
      if (!box.checked) sheet.insertRule(`.lead-table .c${Number(box.dataset.column)} { display: none }`);
    }
    const now = state.key === "name" ? initial.key : state.key;
    sheet.insertRule(`@media (max-width: 44rem) { .js .lead-table:not(.all) .n.c${Number(now)} { display: table-cell !important } }`);
  }

  const say = (text = "") => { status.textContent = `${text}${filter()} of ${rows.length} methods fit.`; };

  function remember() {
    const told = new URLSearchParams();
    if (state.key !== initial.key || state.descending !== initial.descending) {
      told.set("sort", state.key);
      told.set("order", state.descending ? "descending" : "ascending");
    }
    if (inputs.filter.value) told.set("filter", inputs.filter.value);
    if (inputs.badge.value !== "0") told.set("badge", inputs.badge.value);
    if (!inputs.shown.checked) told.set("unranked", "no");
    history.replaceState(null, "", told.size ? `#${told}` : location.pathname + location.search);
  }

  function recall() {
    const told = new URLSearchParams(location.hash.slice(1));
    if (heads.some((head) => head.dataset.key === told.get("sort"))) {
      Object.assign(state, { key: told.get("sort"), descending: told.get("order") !== "ascending" });
    }
    inputs.filter.value = told.get("filter") ?? "";
    inputs.badge.value = ["1", "2"].includes(told.get("badge")) ? told.get("badge") : "0";
    inputs.shown.checked = told.get("unranked") !== "no";
  }

  for (const head of heads) head.querySelector("button")?.addEventListener("click", () => sortBy(head.dataset.key));
  for (const input of [inputs.filter, inputs.badge, inputs.shown]) {
    input.addEventListener("input", () => { say(); remember(); });
  }
  inputs.select.addEventListener("input", () => sortBy(inputs.select.value));
  inputs.intervals.addEventListener("input", () => table.classList.toggle("no-intervals", !inputs.intervals.checked));
  inputs.all.addEventListener("input", () => table.classList.toggle("all", inputs.all.checked));
  for (const box of columns) box.addEventListener("input", columnsShown);
  find("[data-reset]").addEventListener("click", () => {
    inputs.filter.value = "";
    inputs.badge.value = "0";
    inputs.shown.checked = true;
    say();
    remember();
    inputs.filter.focus();
  });
  find("[data-rest] button").addEventListener("click", () => { limit = Infinity; say(); });
  recall();
  if (state.key !== initial.key || state.descending !== initial.descending) sort();
  else columnsShown();
  filter();
  table.addEventListener("click", (event) => {
    const link = event.target.closest("[data-provenance]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    showProvenance(Number(link.dataset.provenance), link.href);
  });
}

let provenance;
function showProvenance(index, href) {
  provenance ??= JSON.parse(document.getElementById("provenance-data").textContent);
  const dialog = document.getElementById("provenance-dialog");
  const { titles, facts } = provenance;
  dialog.querySelector("h3").textContent = titles[index];
  dialog.querySelector("a.button").href = href;
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  for (const [name, mono, values] of facts) {
    const value = Array.isArray(values) ? values[index] : values; // one text where all lines share it
    if (value === null) continue;
    list.append(Object.assign(document.createElement("dt"), { textContent: name }));
    list.append(Object.assign(document.createElement("dd"), { textContent: value, className: mono ? "mono" : "" }));
  }
  dialog.showModal();
  dialog.scrollTop = 0;
}

// One button and one slider for the truth and the prediction side by side: the first leads, the other follows.
function pair(figure) {
  const videos = [...figure.querySelectorAll("video")];
  const [button, time] = [figure.querySelector("[data-play]"), figure.querySelector("[data-time]")];
  const [first] = videos;
  for (const video of videos) {
    video.controls = false;
    video.muted = video !== first; // both say the same words
    video.addEventListener("click", () => button.click());
  }
  button.addEventListener("click", () => {
    const playing = !first.paused;
    for (const video of videos) {
      if (playing) video.pause();
      else {
        video.currentTime = first.ended ? 0 : first.currentTime;
        video.play().catch(() => { button.textContent = "Cannot play"; });
      }
    }
  });
  time.addEventListener("input", () => {
    for (const video of videos) video.currentTime = time.value * (video.duration || 0);
  });
  first.addEventListener("timeupdate", () => { time.value = first.currentTime / (first.duration || 1); });
  for (const what of ["play", "pause", "ended"]) {
    first.addEventListener(what, () => { button.textContent = first.paused ? "Play" : "Pause"; });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-theme-toggle]").forEach(themeToggle);
  document.querySelectorAll("[data-table]").forEach(board);
  document.querySelectorAll("[data-pair]").forEach(pair);
  document.querySelectorAll("dialog").forEach((dialog) => dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  }));
});
