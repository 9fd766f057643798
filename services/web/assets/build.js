// Keeps the page of a build current: lines as they come, everything else anew from the server when it has changed.
import { load, morph } from "./morph.js";
import { Rows } from "./rows.js";

/** Nobody reads steps faster than this. */
const REFRESH_EVERY = 300;
/** Browsers allow six streams to one host; a page that nobody looks at gives its own back. */
const HIDDEN_MAX = 60_000;

let refreshing = false;
let isStale = false;

async function refresh(page) {
  if (refreshing) { isStale = true; return; }
  refreshing = true;
  try {
    const summary = document.getElementById("summary");
    const fresh = (await load(`${page}/summary`)).getElementById("summary");
    const news = fresh.dataset.news;
    document.title = fresh.dataset.title;
    if (news !== summary.dataset.news) document.getElementById("news").textContent = news;
    morph(summary, fresh);
  } catch (error) {
    console.warn(error);
  } finally {
    setTimeout(() => {
      refreshing = false;
      if (isStale) { isStale = false; refresh(page); }
    }, REFRESH_EVERY);
  }
}

/** A line's number is its link. */
function linkLines(log, page) {
  const mark = () => {
    const line = location.hash.match(/^#L(\d+)$/);
    if (!line) return;
    const row = document.getElementById(`L${line[1]}`);
    if (row) row.scrollIntoView({ block: "center" });
    else if (Number(line[1]) <= Number(log.dataset.count)) {
      const from = Math.max(0, Number(line[1]) - 500);
      if (String(from) !== new URLSearchParams(location.search).get("from")) location.replace(`${page}?from=${from}${location.hash}`);
    }
  };
  log.addEventListener("click", (event) => {
    const row = event.target.closest?.(".line");
    const number = row && parseFloat(getComputedStyle(row, "::before").width);
    if (row && event.clientX - row.getBoundingClientRect().left < number) location.hash = row.id;
  });
  addEventListener("hashchange", mark);
  mark();
}

export function followBuild(log) {
  const { page, events } = log.dataset;
  linkLines(log, page);
  if (!events) {
    if (!location.hash && !location.search) log.scrollTop = log.scrollHeight;
    return;
  }
  const rows = new Rows(log, document.getElementById("follow"));
  const connection = document.getElementById("connection");
  let next = Number(log.dataset.next);
  let source;
  let hasEnded = false;

  function open() {
    source = new EventSource(`${events}?from=${next}`);
    source.onopen = () => { connection.textContent = ""; };
    source.onerror = () => { connection.textContent = `Connection lost; trying again. Shown up to line ${next}.`; };
    source.addEventListener("line", (event) => {
      const line = JSON.parse(event.data);
      if (line.number < next) return;
      next = line.number + 1;
      rows.add(line);
    });
    source.addEventListener("step", () => refresh(page));
    source.addEventListener("state", () => refresh(page));
    source.addEventListener("end", () => {
      hasEnded = true;
      source.close();
      refresh(page);
    });
  }

  let hiding;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (hasEnded) return;
    if (document.hidden) hiding = setTimeout(() => source.close(), HIDDEN_MAX);
    else if (source.readyState === EventSource.CLOSED) { open(); refresh(page); }
  });
  open();
}
