// Takes a part of a page anew from the server, and changes only what differs: focus, selection and open details stay.
import { showTimes } from "./time.js";

/** A page as a document. XMLHttpRequest parses it itself, so no script here turns text into HTML. */
export function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.onload = () => {
      if (new URL(request.responseURL).pathname === "/login") location.reload();
      else if (request.status === 200) resolve(request.response);
      else reject(new Error(`${url} answered ${request.status}`));
    };
    request.onerror = () => reject(new Error(`${url} was not reached`));
    request.send();
  });
}

function isSame(old, fresh) {
  // The text of a time is ours.
  if (old.nodeName === "TIME" && fresh.nodeName === "TIME") {
    return old.dateTime === fresh.dateTime && old.className === fresh.className;
  }
  return old.isEqualNode(fresh);
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // What the user opened or closed stays so.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
  }
}

/** The old node that `child` continues: what is new before it must not make it another. */
function matching(cursor, child) {
  if (child.nodeType !== 1) return cursor?.nodeType === child.nodeType ? cursor : null;
  let node = cursor;
  while (node && (node.nodeName !== child.nodeName || node.id !== child.id)) node = node.nextSibling;
  return node;
}

function removeUntil(node, end) {
  while (node !== end) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
}

/** Makes `old` like `fresh`. */
export function morph(old, fresh) {
  if (isSame(old, fresh)) return;
  if (old.nodeType !== 1 || fresh.nodeType !== 1 || old.nodeName !== fresh.nodeName || old.nodeName === "TIME") {
    old.replaceWith(document.adoptNode(fresh));
    return;
  }
  morphAttributes(old, fresh);
  let cursor = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const match = matching(cursor, child);
    if (!match) {
      old.insertBefore(document.adoptNode(child), cursor);
      continue;
    }
    removeUntil(cursor, match);
    cursor = match.nextSibling;
    morph(match, child);
  }
  removeUntil(cursor, null);
  showTimes(old);
}
