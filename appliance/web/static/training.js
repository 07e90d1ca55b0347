"use strict";

/* The training: what it does, its curves, start and stop, what the last ones came to. After page.js. */
{
  const BUSY_MS = 3000, IDLE_MS = 30000;
  const OUTCOMES = {promoted: "promoted", kept: "not promoted", left: "goes on", diverged: "diverged"};
  const start = byId("training-start"), stop = byId("training-stop"), scratch = byId("training-scratch");
  const figure = byId("training-curve"), rows = byId("nights");
  let newest = null, curve = null, listed = "", changing = false, timer;

  const whole = (number) => number.toLocaleString();
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
      ["Epoch", epoch && of ? `${epoch} of ${of}` : null],
      ["Digits a second", rate === null ? null : whole(Math.round(rate))],
      ["Time left", left === null ? null : `about ${duration(left)}`],
      ["Temperature", temperature === null ? null : `${temperature.toFixed(0)} °C`],
      ["Loss", loss === null ? null : loss.toFixed(4)],
      ["Held-out digits", read ? `${(100 * read).toFixed(2)} % read` : null],
      ["Written to the card", written ? `${(written / 1e6).toFixed(1)} MB` : null],
    ].filter(([, text]) => text !== null);
  }

  function cell(label, text, kind = "span") {
    const made = document.createElement("td"), inner = document.createElement(kind);
    made.dataset.label = label;
    made.classList.toggle("none", text === null);
    inner.textContent = text ?? "–";
    made.append(inner);
    return made;
  }

  function row(night) {
    const made = document.createElement("tr"), {"your digits": own, MNIST: base} = night.outcomes;
    made.dataset.outcome = night.outcome;
    made.append(
      cell("Ended", new Date(night.at * 1000).toLocaleString([], {dateStyle: "short", timeStyle: "short"})),
      cell("Outcome", OUTCOMES[night.outcome] ?? night.outcome),
      cell("Your digits", own?.total ? `${own.before} → ${own.after} of ${own.total}` : null),
      cell("MNIST", base?.total ? `${share(base.before, base.total)} → ${share(base.after, base.total)}\u00a0%` : null),
      cell("Network", night.candidate, "code"),
      cell("Why", night.why),
    );
    return made;
  }

  function update(told) {
    newest = told;
    const {running, progress} = told, bar = byId("training-bar"), list = byId("training-facts");
    show(byId("training-says"), told.sentence);
    const lines = facts(running, progress);
    bar.hidden = !lines.length && !running;
    // Without a value the bar says that something is done, and not how much.
    if (running && progress?.state !== "ended" && progress?.progress) bar.value = progress.progress;
    else bar.removeAttribute("value");
    list.hidden = !lines.length;
    list.replaceChildren(...lines.flatMap(([name, text]) => {
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = name;
      value.textContent = text;
      return [term, value];
    }));
    show(byId("training-enough"), running ? "" : told.enough);
    start.hidden = scratch.hidden = running;
    start.disabled = !told.captures;
    stop.hidden = !running;
    if (!running) [stop.disabled, stop.textContent] = [false, "Stop"];
    const text = JSON.stringify(told.nights);
    if (text !== listed) rows.replaceChildren(...told.nights.map(row));
    listed = text;
    rows.parentElement.hidden = !told.nights.length;
  }

  async function draw(name) {
    if (name === curve) return;
    if (name) {
      const response = await fetch("/api/v1/training/curve.svg");
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
    if (!response.ok) throw new Error(answer.detail);
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
    if (!newest.worth && !confirm(`${newest.enough} Train all the same?`)) return;
    order("", {from_scratch: box.checked});
    box.checked = false;
  });

  stop.addEventListener("click", () => {
    [stop.disabled, stop.textContent] = [true, "Stopping…"];
    order("/stop", {});
  });

  async function poll() {
    clearTimeout(timer);
    // page.js tells when the appliance does not answer.
    if (!document.hidden) await refresh().catch(() => {});
    clearTimeout(timer);
    timer = setTimeout(poll, newest?.running || !newest ? BUSY_MS : IDLE_MS);
  }

  // teach.js tells: whether there are enough for a night may be another answer now.
  document.addEventListener("captures-changed", poll);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
}
