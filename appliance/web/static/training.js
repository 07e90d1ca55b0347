"use strict";

/* The training: what it does, its curves, start and stop, what the last ones came to. After base.js. */
{
  const BUSY_MS = 3000, IDLE_MS = 30000;
  const OUTCOMES = ["promoted", "kept", "left", "diverged"];
  const start = byId("training-start"), stop = byId("training-stop"), scratch = byId("training-scratch");
  const figure = byId("training-curve"), rows = byId("nights");
  let newest = null, curve = null, listed = "", changing = false, timer;

  const whole = (number) => number.toLocaleString(LANGUAGE);
  const share = (right, of) => (100 * right / of).toFixed(2);

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function facts(running, progress) {
    if (!running || !progress || progress.state === "ended") return [];
    const {epoch, of, pictures_per_second: rate, seconds_left: left, temperature, loss, epochs, written} = progress;
    const read = epochs.at(-1)?.validation;
    return [
      ["epoch", epoch && of ? t("training.epoch_of", {epoch, of}) : null],
      ["rate", rate === null ? null : whole(Math.round(rate))],
      ["time_left", left === null ? null : t("training.about", {duration: duration(left)})],
      ["temperature", temperature === null ? null : `${temperature.toFixed(0)} °C`],
      ["loss", loss === null ? null : loss.toFixed(4)],
      ["held_out", read ? t("training.share_read", {share: (100 * read).toFixed(2)}) : null],
      ["written", written ? `${(written / 1e6).toFixed(1)} MB` : null],
    ].filter(([, text]) => text !== null);
  }

  function cell(label, text, kind = "span") {
    const made = document.createElement("td"), inner = document.createElement(kind);
    made.dataset.label = t(`training.${label}`);
    made.classList.toggle("none", text === null);
    inner.textContent = text ?? "–";
    made.append(inner);
    return made;
  }

  function row(night) {
    const made = document.createElement("tr"), {"your digits": own, MNIST: base} = night.outcomes;
    made.dataset.outcome = night.outcome;
    made.append(
      cell("ended", new Date(night.at * 1000).toLocaleString(LANGUAGE, {dateStyle: "short", timeStyle: "short"})),
      cell("outcome", OUTCOMES.includes(night.outcome) ? t(`training.outcome_${night.outcome}`) : night.outcome),
      cell("own", own?.total ? t("training.before_after", own) : null),
      cell("mnist", base?.total ? `${share(base.before, base.total)} → ${share(base.after, base.total)}\u00a0%` : null),
      cell("network", night.candidate, "code"),
      cell("why", said(night.why)),
    );
    return made;
  }

  function update(told) {
    newest = told;
    const {running, progress} = told, bar = byId("training-bar"), list = byId("training-facts");
    show(byId("training-says"), said(told.sentence));
    const lines = facts(running, progress);
    bar.hidden = !lines.length && !running;
    // Without a value the bar says that something is done, and not how much.
    if (running && progress?.state !== "ended" && progress?.progress) bar.value = progress.progress;
    else bar.removeAttribute("value");
    list.hidden = !lines.length;
    list.replaceChildren(...lines.flatMap(([name, text]) => {
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = t(`training.${name}`);
      value.textContent = text;
      return [term, value];
    }));
    show(byId("training-enough"), running ? "" : said(told.enough));
    start.hidden = scratch.hidden = running;
    start.disabled = !told.may_begin;
    stop.hidden = !running;
    if (!running) [stop.disabled, stop.textContent] = [false, t("training.stop")];
    const text = JSON.stringify(told.nights);
    if (text !== listed) rows.replaceChildren(...told.nights.map(row));
    listed = text;
    rows.parentElement.hidden = !told.nights.length;
  }

  async function draw(name) {
    if (name === curve) return;
    if (name) {
      const response = await fetch(`/api/v1/training/curve.svg?language=${LANGUAGE}`);
      if (!response.ok) return;
      const drawing = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
      figure.replaceChildren(document.importNode(drawing, true));
    }
    figure.hidden = !name;
    curve = name;
  }

  async function ask(path = "", body = undefined) {
    const address = `/api/v1/training${path}`;
    const response = await (body ? change(address, {
      method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json"},
    }) : fetch(address));
    const answer = await response.json();
    if (!response.ok) throw new Error(said(answer.detail));
    return answer;
  }

  async function refresh() {
    const told = await ask();
    update(told);
    await draw(told.curve);
  }

  async function order(path, body) {
    if (changing) return;
    changing = true;
    try {
      await ask(path, body);
      show(byId("training-refused"), "");
    } catch (error) {
      show(byId("training-refused"), error instanceof TypeError ? NO_ANSWER : error.message);
    }
    changing = false;
    await poll();
  }

  start.addEventListener("click", () => {
    const box = scratch.querySelector("input");
    if (!newest.worth && !confirm(t("training.all_the_same", {enough: said(newest.enough)}))) return;
    order("", {from_scratch: box.checked});
    box.checked = false;
  });

  stop.addEventListener("click", () => {
    [stop.disabled, stop.textContent] = [true, t("training.stopping")];
    order("/stop", {});
  });

  async function poll() {
    clearTimeout(timer);
    if (!document.hidden) await refresh().then(() => answers(true), (error) => answers(!(error instanceof TypeError)));
    clearTimeout(timer);
    timer = setTimeout(poll, newest?.running || !newest ? BUSY_MS : IDLE_MS);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
}
