"use strict";

/* Teaching: a tap under a reading says what it really is; what was tapped is listed. After page.js. */
{
  const NOT_A_DIGIT = 10, PAGE = 12;
  const LINGER_MS = 4000;       // a tap that comes late is still about what was just in view
  const UNDO_MS = 20000;
  const LABELS = Array.from({length: NOT_A_DIGIT + 1}, (_, label) => label);
  const sure = (share) => percent(share).replace(" ", "\u00a0");
  const name = (label) => label === NOT_A_DIGIT ? "not a digit" : String(label);

  async function ask(path, method = "GET", body = undefined) {
    let response, answer;
    try {
      const address = `/api/v1/captures${path}`, plain = body instanceof Blob || body === undefined;
      response = await (method === "GET" ? fetch(address) : change(address, {
        method, body: plain ? body : JSON.stringify(body), headers: plain ? {} : {"Content-Type": "application/json"},
      }));
      answer = await response.json();
    } catch {
      throw new Error(NO_ANSWER);
    }
    if (!response.ok) throw Object.assign(new Error(answer.detail), {status: response.status});
    return answer;
  }

  function make(kind, name, text = "") {
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

  function glyphOf(url, alt = "") {
    const image = make("img", "glyph");
    Object.assign(image, {src: url, alt});
    return image;
  }

  /* What was done, with the way back; or what could not be done. */
  class Said {
    constructor(element) { this.element = element; }

    say(parts, undo = null) {
      clearTimeout(this.timer);
      this.element.replaceChildren(...parts);
      this.element.hidden = false;
      if (undo) this.element.append(button("Undo", async () => {
        try {
          await undo();
          this.say(["Undone."]);
        } catch (error) { this.say([error.message]); }
        changed();
      }));
      this.timer = setTimeout(() => { this.element.hidden = true; }, UNDO_MS);
    }
  }

  /* ---- the buttons under a reading ---- */

  class Teacher {
    constructor(view) {
      const element = view.element.querySelector(".teach");
      this.view = view;
      this.glyph = element.querySelector(".glyph");
      this.question = element.querySelector(".of span");
      this.said = new Said(element.querySelector(".taught"));
      this.right = button("Right", () => this.teach(this.held?.right ?? this.target?.right), "right");
      this.digits = LABELS.map((label) => button(name(label), () => this.teach(label)));
      this.digits[NOT_A_DIGIT].classList.add("none");
      const labels = element.querySelector(".labels");
      labels.append(this.right, ...this.digits);
      // The reading may change between the finger's way down and up.
      labels.addEventListener("pointerdown", () => { this.held = this.target; });
      view.element.addEventListener("reading", () => this.offer(view.reading));
      this.aim(null);
      if (view.reading) this.offer(view.reading);
    }

    offer(reading) {
      const glyph = reading.strip?.glyph;
      if (!glyph) {
        this.leaving ??= setTimeout(() => this.aim(null), LINGER_MS);
        return;
      }
      clearTimeout(this.leaving);
      this.leaving = undefined;
      const settled = reading.settled === undefined ? reading.digit : reading.settled;
      let right = null;
      // Only what is shown large and is also this glyph's answer can be called right.
      if (settled === reading.digit) right = reading.digit ?? (reading.reason === "not a digit" ? NOT_A_DIGIT : null);
      this.aim({number: reading.number, at: reading.at, glyph, right});
    }

    aim(target) {
      const same = target && this.target?.number === target.number;
      this.target = target;
      if (target) this.glyph.src = target.glyph; else this.glyph.removeAttribute("src");
      this.question.textContent = target ? "What is it really?" : "Show a digit, then say here what it really is.";
      for (const each of this.digits) each.disabled = !target;
      this.right.disabled = !target || target.right === null;
      this.right.textContent = target && target.right !== null ? `Right, ${name(target.right)}` : "Right";
      if (!same) this.press(null);
    }

    press(label) {
      this.digits.forEach((each, digit) => each.setAttribute("aria-pressed", String(digit === label)));
    }

    async teach(label) {
      const target = this.held ?? this.target;
      this.held = null;
      if (!target || label === undefined || label === null) return;
      try {
        const capture = await ask("", "POST", {label, reading: target.number, at: target.at});
        if (this.target?.number === target.number) this.press(label);
        this.said.say([glyphOf(capture.glyph), `Kept as ${name(label)}.`], async () => {
          await ask(`/${capture.id}`, "DELETE");
          this.press(null);
        });
      } catch (error) { this.said.say([error.message]); }
      changed();
    }
  }

  /* ---- what is kept ---- */

  const list = byId("captures"), filter = byId("captures-filter"), more = byId("captures-more");
  const done = new Said(byId("captures-done"));
  let chosen = {}, report = null, asked = 0, judging;

  const isChosen = (choice) => JSON.stringify(choice) === JSON.stringify(chosen);

  function query(before) {
    const parts = new URLSearchParams({limit: PAGE});
    for (const [key, value] of Object.entries(chosen)) parts.set(key, value);
    if (chosen.of) {
      parts.delete("of");
      parts.set("ids", (chosen.of === "doubtful" ? doubtful() : alike()).slice(0, 50).join(","));
    }
    if (before) parts.set("before", before);
    return `?${parts}`;
  }

  const doubtful = () => (report?.mislabelled ?? []).map((each) => each.id);
  const alike = () => (report?.alike ?? []).flat();

  /* After a change, here or below a reading: the list anew, and the report when it is made. */
  async function changed() {
    const number = ++asked;
    document.dispatchEvent(new Event("captures-changed"));
    try {
      const answer = await ask(query());
      if (number !== asked) return;
      show(byId("captures-problem"), "");
      draw(answer, false);
    } catch (error) { show(byId("captures-problem"), error.message); }
    clearTimeout(judging);
    judging = setTimeout(judge, 500);
  }

  async function judge() {
    try {
      report = await ask("/report");
    } catch (error) {
      if (error.status === 503) judging = setTimeout(judge, 2000);
      return;
    }
    const total = report.counts.reduce((sum, each) => sum + each, 0);
    byId("captures-report").replaceChildren(...(total ? report.sentences.map((each) => make("li", "", each)) : []));
    drawFilter(report.counts);
    list.querySelectorAll("li").forEach((row) => flag(row));
  }

  function draw(answer, older) {
    byId("captures-none").hidden = answer.total > 0;
    byId("captures-export").hidden = answer.total === 0;
    show(byId("captures-notice"), answer.notice ?? "");
    drawFilter(answer.counts);
    const rows = answer.captures.map(row);
    if (older) list.append(...rows); else list.replaceChildren(...rows);
    if (!list.children.length && answer.total) list.append(make("li", "hint", "None of these."));
    more.hidden = Boolean(chosen.of) || answer.captures.length < PAGE;
  }

  const chips = new Map();        // by their text: what a finger is on stays where it is

  function chip(text, count, choice) {
    const made = chips.get(text) ?? button(text, () => { chosen = choice; changed(); }, "chip");
    chips.set(text, made);
    made.setAttribute("aria-pressed", String(isChosen(choice)));
    // A finger may be on the count as well: it is written anew, not made anew.
    if (count !== null) (made.querySelector("span") ?? made.appendChild(make("span"))).textContent = String(count);
    return made;
  }

  function drawFilter(counts) {
    const total = counts.reduce((sum, each) => sum + each, 0);
    const wanted = [chip("all", total, {}), ...LABELS.map((label) => chip(name(label), counts[label], {label}))];
    if (doubtful().length) wanted.push(chip("doubtful", doubtful().length, {of: "doubtful"}));
    if (alike().length) wanted.push(chip("alike", alike().length, {of: "alike"}));
    wanted.push(chip("deleted", null, {deleted: 1}));
    for (const each of [...filter.children]) if (!wanted.includes(each)) each.remove();
    wanted.forEach((each, place) => {
      if (filter.children[place] !== each) filter.insertBefore(each, filter.children[place] ?? null);
    });
    filter.hidden = !total && !chosen.deleted && !list.children.length;
  }

  function row(capture) {
    const made = make("li"), about = make("div", "about"), at = new Date(capture.at * 1000);
    const picture = make("img", "surroundings"), time = make("time", "", at.toLocaleString([], {dateStyle: "short", timeStyle: "short"}));
    Object.assign(picture, {src: `/api/v1/captures/${capture.id}/picture`, alt: "", loading: "lazy"});
    time.dateTime = at.toISOString();
    const said = capture.said === null ? `refused: ${capture.reason ?? "no digit"}` : `read as ${capture.said}, ${sure(capture.confidence)}`;
    const facts = make("span", "", `${capture.corrected ? "Corrected" : "Confirmed"}, ${said}`);
    const images = make("div", "images");
    images.append(glyphOf(capture.glyph, `Glyph of capture ${capture.id}`), picture);
    about.append(facts, time, make("span", "flag"));
    made.dataset.id = capture.id;
    made.append(images, about, chosen.deleted ? restorer(capture) : changer(capture));
    flag(made);
    return made;
  }

  function changer(capture) {
    const made = make("div", "change"), select = make("select");
    select.setAttribute("aria-label", `Label of capture ${capture.id}`);
    select.append(...LABELS.map((label) => new Option(name(label), label, false, label === capture.label)));
    select.addEventListener("change", () => attempt(async () => {
      await ask(`/${capture.id}`, "PATCH", {label: Number(select.value)});
      done.say([glyphOf(capture.glyph), `Is ${name(Number(select.value))} now, was ${name(capture.label)}.`],
        () => ask(`/${capture.id}`, "PATCH", {label: capture.label}));
    }));
    const remove = button("Delete", () => attempt(async () => {
      await ask(`/${capture.id}`, "DELETE");
      done.say([glyphOf(capture.glyph), "Deleted; it can be restored for a day."], () => ask(`/${capture.id}/restore`, "POST"));
    }));
    remove.setAttribute("aria-label", `Delete capture ${capture.id}`);
    made.append(make("span", "", "Label"), select, remove);
    return made;
  }

  function restorer(capture) {
    const made = make("div", "change", `${name(capture.label)} `);
    const restore = button("Restore", () => attempt(async () => {
      await ask(`/${capture.id}/restore`, "POST");
      done.say([glyphOf(capture.glyph), "Restored."], () => ask(`/${capture.id}`, "DELETE"));
    }));
    restore.setAttribute("aria-label", `Restore capture ${capture.id}`);
    made.append(restore);
    return made;
  }

  function flag(row) {
    const id = Number(row.dataset.id), suspect = report?.mislabelled.find((each) => each.id === id);
    const twins = report?.alike.find((group) => group.includes(id))?.filter((each) => each !== id) ?? [];
    const said = [];
    if (suspect) said.push(`The network is sure (${sure(suspect.confidence)}): ${name(suspect.looks_like)}.`);
    if (twins.length) said.push(`Nearly the same as ${twins.length === 1 ? "one other" : `${twins.length} others`}.`);
    const place = row.querySelector(".flag");
    if (place) show(place, said.join(" "));
  }

  async function attempt(action) {
    try {
      await action();
    } catch (error) { done.say([error.message]); }
    await changed();
  }

  more.addEventListener("click", async () => {
    const last = list.lastElementChild?.dataset.id;
    try {
      draw(await ask(query(last)), true);
    } catch (error) { show(byId("captures-problem"), error.message); }
  });

  byId("captures-import").addEventListener("change", async (event) => {
    const [file] = event.target.files, limit = Number(document.body.dataset.uploadBytes);
    event.target.value = "";        // the same file may be sent again
    if (!file) return;
    if (file.size > limit) {
      done.say([`The zip has ${(file.size / 1e6).toFixed(1)} MB, and the page takes ${limit / 1e6} MB: use "digits captures import" on the appliance.`]);
      return;
    }
    done.say(["Importing…"]);
    await attempt(async () => {
      const {added, known} = await ask("/import", "POST", file);
      done.say([`${added} captures were added, ${known} were there already.`]);
    });
  });

  new Teacher(live);
  new Teacher(mine);
  changed();
}
