"use strict";

/* The owner: every change goes through `change`, which asks for the PIN when it is needed. */
const byId = (id) => document.getElementById(id);
const NO_ANSWER = "The appliance did not answer. Try again in a moment.";
const change = (() => {
  const dialog = byId("pin"), input = byId("pin-input"), said = byId("pin-problem"), badge = byId("owner");
  let token = null, asking = null;

  /* Tells what the session is now; every other part of the page may look again. */
  function know(session) {
    token = session.token;
    badge.textContent = session.owner ? "Lock" : "Unlock";
    badge.setAttribute("aria-label", session.owner ? "Lock: leave as the owner" : "Unlock with the owner's PIN");
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

  function say(text) {
    said.textContent = text;
    said.hidden = !text;
  }

  /* Opens the dialog, once however many ask; true when the PIN was shown, false when it was left. */
  function shown() {
    asking ??= new Promise((done) => {
      input.value = "";
      say("");
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
      say(error instanceof TypeError ? NO_ANSWER : error.message);
      input.select();
    }
  });
  byId("pin-cancel").addEventListener("click", () => dialog.close());
  badge.addEventListener("click", () => {
    if (token === null) shown(); else session("DELETE").catch(() => {});
  });

  /* Another tab may have shown the PIN, or left. */
  const look = () => session("GET").catch(() => {});
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  const known = look();
  // Where only the owner may look there is nothing to be seen before.
  known.then(() => { if (document.body.dataset.look === "owner" && token === null) shown(); });

  /* Sends a change as the owner; without the PIN it asks for it, and the answer is then the refusal. */
  return async (address, options) => {
    await known;
    const send = () => fetch(address, {...options, headers: {...options.headers, "X-CSRF-Token": token ?? ""}});
    let response = await send();
    if (response.status === 403) {
      // The token may be an older one: another tab began anew.
      await look();
      response = await send();
    }
    if (response.status === 401) {
      token = null;
      if (await shown()) response = await send();
    }
    return response;
  };
})();
