// Shows moments as ages and open durations as they grow. The server prints exact moments, which stay in the title.

const UNITS = [["d", 86400], ["h", 3600], ["m", 60]];

function age(seconds) {
  const index = UNITS.findIndex(([, length]) => seconds >= length);
  if (index < 0) return `${Math.max(0, Math.floor(seconds))} s`;
  const [unit, length] = UNITS[index];
  const whole = `${Math.floor(seconds / length)} ${unit}`;
  const next = UNITS[index + 1] ?? ["s", 1];
  return index === 0 ? whole : `${whole} ${String(Math.floor((seconds % length) / next[1])).padStart(2, "0")} ${next[0]}`;
}

function rough(seconds) {
  return seconds >= 86400 ? age(seconds) : age(seconds).split(" ").slice(0, 2).join(" ");
}

function text(time, now) {
  const seconds = (now - Date.parse(time.dateTime)) / 1000;
  if (time.classList.contains("since")) return age(seconds);
  if (time.classList.contains("until")) return seconds < 0 ? `in ${rough(-seconds)}` : "now";
  if (seconds < 5) return "just now";
  return `${rough(seconds)} ago`;
}

/** @param {ParentNode} root */
export function showTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    if (!time.title) time.title = new Date(time.dateTime).toLocaleString(undefined, { timeZoneName: "short" });
    const shown = text(time, Date.now());
    if (time.textContent !== shown) time.textContent = shown;
  }
}
