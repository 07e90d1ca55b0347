"use strict";

/* What every view needs: the page's words, requests, the owner, and a few elements. */
const byId = (id) => document.getElementById(id);
const LANGUAGE = document.documentElement.lang;
const UPLOAD_LIMIT = Number(document.body.dataset.uploadBytes);

/* ---- words: the same as `Texts` does in Python ---- */

const WORDS = JSON.parse(byId("texts").textContent);
const fillIn = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const t = (key, values = {}) => fillIn(WORDS.texts[key], values);
const PATTERNS = Object.entries(WORDS.sentences).map(([sentence, text]) => [
  new RegExp(`^${sentence.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.+)")}$`), text]);

/* A sentence of the appliance's own in the page's language. */
function translate(sentence) {
  for (const [pattern, text] of PATTERNS) {
    const match = pattern.exec(sentence ?? "");
    if (match) {
      const parts = Object.entries(match.groups ?? {}).map(([name, part]) => [name, translate(part)]);
      return fillIn(text, Object.fromEntries(parts));
    }
  }
  return sentence ?? "";
}

const percent = (share) => `${Math.round(share * 100)}\u00a0%`;
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const dateTime = (seconds) => new Date(seconds * 1000).toLocaleString(LANGUAGE, {dateStyle: "short", timeStyle: "short"});

/* ---- elements ---- */

function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

function make(kind, name = "", text = "") {
  const element = document.createElement(kind);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

function makeButton(text, action, name = "quiet") {
  const button = make("button", name, text);
  button.type = "button";
  button.addEventListener("click", action);
  return button;
}

/* A table's cell; on a narrow page, which has no head of the table, its label stands beside it. */
function makeCell(label, content) {
  const cell = make("td");
  cell.dataset.label = label;
  cell.append(content);
  return cell;
}

/* Tells on any view whether the appliance answers; what else is wrong the view tells. */
function showConnected(connected) {
  byId("state").textContent = connected ? "" : t("page.not_connected");
  show(byId("fault"), connected ? "" : t("page.lost"));
}

/* ---- the owner ---- */

const owner = (() => {
  const dialog = byId("pin"), input = byId("pin-input"), problem = byId("pin-problem"), badge = byId("owner");
  let token = null, prompt = null;
  badge.hidden = false;

  async function session(method, body) {
    const response = await fetch("/api/v1/session", {
      method, body: body && JSON.stringify(body), headers: body ? {"Content-Type": "application/json"} : {},
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(translate(answer.detail));
    token = answer.token;
    badge.textContent = t(answer.owner ? "pin.lock" : "pin.unlock");
    badge.title = t(answer.owner ? "pin.lock_title" : "pin.unlock_title");
    document.body.classList.toggle("owner", answer.owner);
    return answer;
  }

  /* Opens one dialog, however many call; true when the PIN was shown, false when it was cancelled. */
  function askForPin() {
    prompt ??= new Promise((resolve) => {
      input.value = "";
      show(problem, "");
      dialog.showModal();
      dialog.addEventListener("close", () => { prompt = null; resolve(token !== null); }, {once: true});
    });
    return prompt;
  }

  byId("pin-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await session("POST", {pin: input.value});
      dialog.close();
    } catch (error) {
      show(problem, error instanceof TypeError ? t("page.no_answer") : error.message);
      input.select();
    }
  });
  byId("pin-cancel").addEventListener("click", () => dialog.close());
  /* Views show and hide what is for the owner alone. */
  const announce = () => document.dispatchEvent(new Event("owner"));
  badge.addEventListener("click", () => {
    if (token === null) askForPin().then((unlocked) => { if (unlocked) announce(); });
    else session("DELETE").then(announce, () => {});
  });

  /* Another tab may have begun or ended the session. */
  const refresh = () => session("GET").catch(() => {});
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  const known = refresh();
  // Where only the owner may look there is nothing to see without the PIN.
  known.then(() => { if (document.body.dataset.look === "owner" && token === null) askForPin(); });

  /* Sends a change; without a session it asks for the PIN, and if that is cancelled returns the refusal. */
  async function send(address, options) {
    await known;
    const attempt = () => fetch(address, {...options, headers: {...options.headers, "X-CSRF-Token": token ?? ""}});
    let response = await attempt();
    if (response.status === 403) {
      // The token may be an older one: another tab has begun a new session.
      await refresh();
      response = await attempt();
    }
    if (response.status === 401) {
      token = null;
      if (await askForPin()) response = await attempt();
    }
    return response;
  }

  /* True when the visitor is the owner, or shows the PIN now. */
  async function unlock() {
    await refresh();
    return token !== null || askForPin();
  }

  return {send, unlock};
})();

/* ---- requests ---- */

/* The JSON of the API's answer; whatever is no GET goes out as the owner's. Throws an Error with a sentence for
   the page and the answer's status, 0 where there was no answer. */
async function request(path, method = "GET", body = undefined) {
  const address = `/api/v1/${path}`, plain = body === undefined || body instanceof Blob;
  let response, answer;
  try {
    response = await (method === "GET" ? fetch(address) : owner.send(address, {
      method, body: plain ? body : JSON.stringify(body), headers: plain ? {} : {"Content-Type": "application/json"},
    }));
    answer = await response.json();
  } catch {
    throw Object.assign(new Error(t("page.no_answer")), {status: 0});
  }
  if (!response.ok) throw Object.assign(new Error(translate(answer.detail)), {status: response.status});
  return answer;
}
