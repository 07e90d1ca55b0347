"use strict";

/* The owner's switches: test the LEDs, change a setting, start again. After base.js. */
{
  const RETRY_MS = 3000;
  const message = byId("device-says");

  /* Loads the page anew as soon as the appliance answers again. */
  async function reloadWhenBack() {
    try {
      if ((await fetch("/api/v1/health")).ok) location.reload();
    } catch { setTimeout(reloadWhenBack, RETRY_MS); }
  }

  for (const each of document.querySelectorAll("[data-post]")) {
    each.addEventListener("click", async () => {
      if (each.dataset.ask && !confirm(t(each.dataset.ask))) return;
      try {
        const answer = await request(each.dataset.post, "POST");
        show(message, translate(answer.said));
        if (each.dataset.post !== "leds/test") setTimeout(reloadWhenBack, RETRY_MS);
      } catch (error) { show(message, error.message); }
    });
  }

  /* The log and the settings come with the page, for the owner alone. */
  document.addEventListener("owner", () => location.reload());
  byId("device-unlock")?.addEventListener("click", async () => {
    if (await owner.unlock()) location.reload();
  });

  byId("check-all").addEventListener("click", async () => {
    const list = byId("findings");
    show(message, t("switches.checks"));
    try {
      const {findings} = await request("doctor", "POST");
      list.replaceChildren(...findings.map(({what, good, sentence}) =>
        make("li", good === false ? "warning" : "", `${good === null ? "–" : good ? "✔" : "✘"} ${what}: ${sentence}`)));
      list.hidden = false;
      show(message, "");
    } catch (error) { show(message, error.message); }
  });

  for (const form of document.querySelectorAll("form.setting")) {
    const {table, key} = form.dataset, input = form.querySelector("input");
    async function save(value) {
      try {
        await request("settings", "PATCH", {table, key, value});
        show(byId("settings-waiting"), t("settings.waiting"));
        input.setCustomValidity("");
      } catch (error) {
        input.setCustomValidity(error.message);
        input.reportValidity();
      }
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      let value = input.value.trim();
      // A number, or a text in quotes as in the settings file; a text without quotes is one too.
      try { value = JSON.parse(value); } catch { /* a text without quotes */ }
      save(value);
    });
    input.addEventListener("input", () => input.setCustomValidity(""));
    form.querySelector(".back")?.addEventListener("click", () => save(null).then(() => location.reload()));
  }
}
