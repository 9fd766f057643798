// The rows of a log: appends lines once a frame, keeps a bounded number of them, and follows the end unless the user reads.

/** So many rows stay on the page while it follows; the rest is behind the link before them. */
const ROWS_MAX = 1000;
const NEAR_END = 40;

export class Rows {
  /** @param {HTMLElement} log @param {HTMLElement} button */
  constructor(log, button) {
    this.log = log;
    this.button = button;
    this.before = document.getElementById("before");
    this.size = document.getElementById("log-size");
    this.waiting = [];
    this.isFollowing = !location.hash;
    button.hidden = false;
    button.addEventListener("click", () => this.follow(!this.isFollowing));
    // Only the user moves up; at the end again, following goes on.
    log.addEventListener("wheel", (event) => { if (event.deltaY < 0) this.follow(false); }, { passive: true });
    log.addEventListener("keydown", (event) => {
      if (["ArrowUp", "PageUp", "Home"].includes(event.key)) this.follow(false);
      if (event.key === "End") this.follow(true);
    });
    log.addEventListener("touchmove", () => this.follow(this.isAtEnd()), { passive: true });
    log.addEventListener("scroll", () => { if (this.isAtEnd() && !this.isFollowing) this.follow(true); }, { passive: true });
    this.follow(this.isFollowing);
  }

  isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END;
  }

  follow(isFollowing) {
    this.isFollowing = isFollowing;
    this.button.setAttribute("aria-pressed", String(isFollowing));
    this.button.textContent = isFollowing ? "Following" : "Follow";
    if (isFollowing) this.log.scrollTop = this.log.scrollHeight;
  }

  /** @param {{number: number, step: number, continues: boolean, text: string}} line */
  add(line) {
    this.waiting.push(line);
    if (this.waiting.length === 1) requestAnimationFrame(() => this.flush());
  }

  flush() {
    const count = String(this.waiting.at(-1).number + 1);
    this.size.textContent = `${count} lines`;
    this.log.dataset.count = count;
    // More than fit would be made only to be taken off again.
    if (this.isFollowing && this.waiting.length > ROWS_MAX) {
      this.log.replaceChildren();
      this.waiting = this.waiting.slice(-ROWS_MAX);
    }
    const fresh = document.createDocumentFragment();
    for (const line of this.waiting) {
      const row = document.createElement("div");
      row.className = line.continues ? "line rest" : "line";
      row.id = `L${line.number + 1}`;
      row.dataset.n = String(line.number + 1);
      row.dataset.s = String(line.step);
      row.textContent = line.text;
      fresh.append(row);
    }
    this.waiting = [];
    this.log.append(fresh);
    if (this.isFollowing) {
      this.trim();
      this.log.scrollTop = this.log.scrollHeight;
    }
  }

  /** Takes the oldest rows off and offers the link to them instead. */
  trim() {
    const surplus = this.log.childElementCount - ROWS_MAX;
    if (surplus > 0) {
      const range = document.createRange();
      range.setStart(this.log, 0);
      range.setEndBefore(this.log.children[surplus]);
      range.deleteContents();
    }
    const first = Number(this.log.firstElementChild.dataset.n);
    if (first === 1) return;
    this.before.href = `${this.log.dataset.page}?from=${Math.max(0, first - 1 - ROWS_MAX)}`;
    this.before.hidden = false;
  }
}
