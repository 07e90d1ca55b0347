"use strict";

/* The owner's switches on the device's view: test the LEDs, change a setting, start again. After base.js. */
{
  const AGAIN_MS = 3000;
  const says = byId("device-says");

  async function ask(address, method, body) {
    const response = await change(`/api/v1/${address}`, {
      method, body: body && JSON.stringify(body), headers: body ? {"Content-Type": "application/json"} : {},
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(said(answer.detail));
    return said(answer.said);
  }

  const failed = (error) => show(says, error instanceof TypeError ? NO_ANSWER : error.message);

  /* Waits until the appliance answers again, and shows it. */
  async function whenBack() {
    try {
      if ((await fetch("/api/v1/health")).ok) location.reload();
    } catch { setTimeout(whenBack, AGAIN_MS); }
  }

  for (const each of document.querySelectorAll("[data-post]")) {
    each.addEventListener("click", async () => {
      if (each.dataset.ask && !confirm(t(each.dataset.ask))) return;
      try {
        show(says, await ask(each.dataset.post, "POST"));
        if (each.dataset.post !== "leds/test") setTimeout(whenBack, AGAIN_MS);
      } catch (error) { failed(error); }
    });
  }

  /* The log and the settings come with the page, for the owner alone. */
  document.addEventListener("owner", () => location.reload());
  byId("device-unlock")?.addEventListener("click", async () => {
    if (await change.asOwner()) location.reload();
  });

  byId("check-all").addEventListener("click", async () => {
    const list = byId("findings");
    show(says, t("switches.checks"));
    try {
      const response = await change("/api/v1/doctor", {method: "POST"});
      const answer = await response.json();
      if (!response.ok) throw new Error(said(answer.detail));
      list.replaceChildren(...answer.findings.map(({what, good, sentence}) =>
        make("li", good === false ? "warning" : "", `${good === null ? "–" : good ? "✔" : "✘"} ${what}: ${sentence}`)));
      list.hidden = false;
      show(says, "");
    } catch (error) { failed(error); }
  });

  for (const form of document.querySelectorAll("form.setting")) {
    const {table, key} = form.dataset, input = form.querySelector("input");
    async function send(value) {
      try {
        await ask("settings", "PATCH", {table, key, value});
        show(byId("settings-waiting"), t("settings.waiting"));
        input.setCustomValidity("");
      } catch (error) {
        input.setCustomValidity(error instanceof TypeError ? NO_ANSWER : error.message);
        input.reportValidity();
      }
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      let value = input.value.trim();
      // A number or a text as the settings file has it; what has no quotes is a text too.
      try { value = JSON.parse(value); } catch { /* as it stands */ }
      send(value);
    });
    input.addEventListener("input", () => input.setCustomValidity(""));
    form.querySelector(".back")?.addEventListener("click", () => send(null).then(() => location.reload()));
  }
}
