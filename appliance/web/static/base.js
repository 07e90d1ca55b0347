"use strict";

/* What every view needs: the page's words, and the owner, whose changes all go through `change`. */
const byId = (id) => document.getElementById(id);
const WORDS = JSON.parse(byId("texts").textContent);
const LANGUAGE = document.documentElement.lang;
/* The same as `Texts` does in Python: a text by its key, a sentence of the appliance's in the page's language. */
const filled = (text, of) => text.replace(/\{(\w+)\}/g, (_, name) => of[name]);
const t = (key, of = {}) => filled(WORDS.texts[key], of);
const PATTERNS = Object.entries(WORDS.sentences).map(([told, text]) => [
  new RegExp(`^${told.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.+)")}$`), text]);
function said(sentence) {
  for (const [pattern, text] of PATTERNS) {
    const found = pattern.exec(sentence ?? "");
    if (found) return filled(text, Object.fromEntries(Object.entries(found.groups ?? {}).map(([name, part]) => [name, said(part)])));
  }
  return sentence ?? "";
}

const NO_ANSWER = t("page.no_answer");
const percent = (share) => `${Math.round(share * 100)}\u00a0%`;
const show = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
};

function make(kind, name = "", text = "") {
  const element = document.createElement(kind);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

function button(text, action, name = "quiet") {
  const made = make("button", name, text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

/* Tells on any view whether the appliance answers; what else is wrong it leaves to the view. */
function answers(yes) {
  byId("state").textContent = yes ? "" : t("page.not_connected");
  show(byId("fault"), yes ? "" : t("page.lost"));
}

const change = (() => {
  const dialog = byId("pin"), input = byId("pin-input"), problem = byId("pin-problem"), badge = byId("owner");
  let token = null, asking = null;
  badge.hidden = false;

  /* Tells what the session is now; every other part of the page may look again. */
  function know(session) {
    token = session.token;
    badge.textContent = t(session.owner ? "pin.lock" : "pin.unlock");
    badge.title = t(session.owner ? "pin.lock_title" : "pin.unlock_title");
    document.body.classList.toggle("owner", session.owner);
  }

  async function session(method, body) {
    const response = await fetch("/api/v1/session", {
      method, body: body && JSON.stringify(body), headers: body ? {"Content-Type": "application/json"} : {},
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
    know(answer);
    return answer;
  }

  /* Opens the dialog, once however many ask; true when the PIN was shown, false when it was left. */
  function shown() {
    asking ??= new Promise((done) => {
      input.value = "";
      show(problem, "");
      dialog.showModal();
      dialog.addEventListener("close", () => { asking = null; done(token !== null); }, {once: true});
    });
    return asking;
  }

  byId("pin-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await session("POST", {pin: input.value});
      dialog.close();
    } catch (error) {
      show(problem, error instanceof TypeError ? NO_ANSWER : said(error.message));
      input.select();
    }
  });
  byId("pin-cancel").addEventListener("click", () => dialog.close());
  /* What a view shows to the owner alone comes and goes with this. */
  const tell = () => document.dispatchEvent(new Event("owner"));
  badge.addEventListener("click", () => {
    if (token === null) shown().then((yes) => { if (yes) tell(); });
    else session("DELETE").then(tell, () => {});
  });

  /* Another tab may have shown the PIN, or left. */
  const look = () => session("GET").catch(() => {});
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  const known = look();
  // Where only the owner may look there is nothing to be seen before.
  known.then(() => { if (document.body.dataset.look === "owner" && token === null) shown(); });

  /* Sends a change as the owner; without the PIN it asks for it, and the answer is then the refusal. */
  async function send(address, options) {
    await known;
    const once = () => fetch(address, {...options, headers: {...options.headers, "X-CSRF-Token": token ?? ""}});
    let response = await once();
    if (response.status === 403) {
      // The token may be an older one: another tab began anew.
      await look();
      response = await once();
    }
    if (response.status === 401) {
      token = null;
      if (await shown()) response = await once();
    }
    return response;
  }

  /* True when who looks is the owner, or shows the PIN now. */
  send.asOwner = async () => {
    await look();
    return token !== null || shown();
  };
  return send;
})();
