"use strict";

/* The training: its progress and curves, start and stop, the last ones' outcomes. After base.js. */
{
  const BUSY_MS = 3000, IDLE_MS = 30000;
  const OUTCOMES = ["promoted", "kept", "left", "diverged"];
  const start = byId("training-start"), stop = byId("training-stop"), scratch = byId("training-scratch");
  const figure = byId("training-curve"), rows = byId("nights");
  let status = null, shownCurve = null, shownNights = "", changing = false, timer;

  const share = (right, total) => (100 * right / total).toFixed(2);

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function factsOf(running, progress) {
    if (!running || !progress || progress.state === "ended") return [];
    const {epoch, of, pictures_per_second: rate, seconds_left: left, temperature, loss, epochs, written} = progress;
    const read = epochs.at(-1)?.validation;
    return [
      ["epoch", epoch && of ? t("training.epoch_of", {epoch, of}) : null],
      ["rate", rate === null ? null : Math.round(rate).toLocaleString(LANGUAGE)],
      ["time_left", left === null ? null : t("training.about", {duration: duration(left)})],
      ["temperature", temperature === null ? null : `${temperature.toFixed(0)} °C`],
      ["loss", loss === null ? null : loss.toFixed(4)],
      ["held_out", read ? t("training.share_read", {share: (100 * read).toFixed(2)}) : null],
      ["written", written ? `${(written / 1e6).toFixed(1)} MB` : null],
    ].filter(([, text]) => text !== null);
  }

  function cell(name, text, kind = "span") {
    const made = makeCell(t(`training.${name}`), make(kind, "", text ?? "–"));
    made.classList.toggle("none", text === null);
    return made;
  }

  function makeRow(night) {
    const row = make("tr"), {"your digits": own, MNIST: base} = night.outcomes;
    row.dataset.outcome = night.outcome;
    row.append(
      cell("ended", dateTime(night.at)),
      cell("outcome", OUTCOMES.includes(night.outcome) ? t(`training.outcome_${night.outcome}`) : night.outcome),
      cell("own", own?.total ? t("training.before_after", own) : null),
      cell("mnist", base?.total ? `${share(base.before, base.total)} → ${share(base.after, base.total)}\u00a0%` : null),
      cell("network", night.candidate, "code"),
      cell("why", translate(night.why)),
    );
    return row;
  }

  function update(answer) {
    status = answer;
    const {running, progress, nights} = answer, bar = byId("training-bar"), list = byId("training-facts");
    show(byId("training-says"), translate(answer.sentence));
    const facts = factsOf(running, progress);
    bar.hidden = !facts.length && !running;
    // Without a value the bar says that something is going on, and not how much is done.
    if (running && progress?.state !== "ended" && progress?.progress) bar.value = progress.progress;
    else bar.removeAttribute("value");
    list.hidden = !facts.length;
    list.replaceChildren(...facts.flatMap(([name, text]) => [make("dt", "", t(`training.${name}`)), make("dd", "", text)]));
    show(byId("training-enough"), running ? "" : translate(answer.enough));
    start.hidden = scratch.hidden = running;
    start.disabled = !answer.may_begin;
    stop.hidden = !running;
    if (!running) [stop.disabled, stop.textContent] = [false, t("training.stop")];
    const text = JSON.stringify(nights);
    if (text !== shownNights) rows.replaceChildren(...nights.map(makeRow));
    shownNights = text;
    rows.parentElement.hidden = !nights.length;
  }

  /* Fetches the curves where their name, which changes with them, is another one. */
  async function updateCurve(name) {
    if (name === shownCurve) return;
    if (name) {
      const response = await fetch(`/api/v1/training/curve.svg?language=${LANGUAGE}`);
      if (!response.ok) return;
      const svg = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
      figure.replaceChildren(document.importNode(svg, true));
    }
    figure.hidden = !name;
    shownCurve = name;
  }

  async function refresh() {
    const answer = await request("training");
    update(answer);
    await updateCurve(answer.curve);
  }

  async function command(path, body) {
    if (changing) return;
    changing = true;
    try {
      await request(path, "POST", body);
      show(byId("training-refused"), "");
    } catch (error) {
      show(byId("training-refused"), error.message);
    }
    changing = false;
    await poll();
  }

  start.addEventListener("click", () => {
    const box = scratch.querySelector("input");
    if (!status.worth && !confirm(t("training.all_the_same", {enough: translate(status.enough)}))) return;
    command("training", {from_scratch: box.checked});
    box.checked = false;
  });

  stop.addEventListener("click", () => {
    [stop.disabled, stop.textContent] = [true, t("training.stopping")];
    command("training/stop", {});
  });

  async function poll() {
    clearTimeout(timer);
    if (!document.hidden) await refresh().then(() => showConnected(true), (error) => showConnected(error.status !== 0));
    clearTimeout(timer);
    timer = setTimeout(poll, status?.running || !status ? BUSY_MS : IDLE_MS);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
}
