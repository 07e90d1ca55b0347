"use strict";

/* What was taught: list, filter, relabel, delete and restore, import. After teaching.js. */
{
  const PAGE = 12;
  const list = byId("captures"), filter = byId("captures-filter"), more = byId("captures-more");
  const done = new Said(byId("captures-done"), changed);
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
    try {
      const answer = await captured(query());
      if (number !== asked) return;
      show(byId("captures-problem"), "");
      draw(answer, false);
    } catch (error) { show(byId("captures-problem"), error.message); }
    clearTimeout(judging);
    judging = setTimeout(judge, 500);
  }

  async function judge() {
    try {
      report = await captured("/report");
    } catch (error) {
      if (error.status === 503) judging = setTimeout(judge, 2000);
      return;
    }
    const total = report.counts.reduce((sum, each) => sum + each, 0);
    byId("captures-report").replaceChildren(...(total ? report.sentences.map((each) => make("li", "", said(each))) : []));
    drawFilter(report.counts);
    list.querySelectorAll("li").forEach((row) => flag(row));
  }

  function draw(answer, older) {
    byId("captures-none").hidden = answer.total > 0;
    byId("captures-export").hidden = answer.total === 0;
    show(byId("captures-notice"), said(answer.notice));
    drawFilter(answer.counts);
    const rows = answer.captures.map(row);
    if (older) list.append(...rows); else list.replaceChildren(...rows);
    if (!list.children.length && answer.total) list.append(make("li", "hint", t("page.none_of_these")));
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
    const wanted = [chip(t("captures.all"), total, {}), ...LABELS.map((label) => chip(named(label), counts[label], {label}))];
    if (doubtful().length) wanted.push(chip(t("captures.doubtful"), doubtful().length, {of: "doubtful"}));
    if (alike().length) wanted.push(chip(t("captures.alike"), alike().length, {of: "alike"}));
    wanted.push(chip(t("captures.deleted"), null, {deleted: 1}));
    for (const each of [...filter.children]) if (!wanted.includes(each)) each.remove();
    wanted.forEach((each, place) => {
      if (filter.children[place] !== each) filter.insertBefore(each, filter.children[place] ?? null);
    });
    filter.hidden = !total && !chosen.deleted && !list.children.length;
  }

  function row(capture) {
    const made = make("li"), about = make("div", "about"), at = new Date(capture.at * 1000);
    const picture = make("img", "surroundings"), time = make("time", "", at.toLocaleString(LANGUAGE, {dateStyle: "short", timeStyle: "short"}));
    Object.assign(picture, {src: `/api/v1/captures/${capture.id}/picture`, alt: "", loading: "lazy"});
    time.dateTime = at.toISOString();
    const read = capture.said === null ? t("captures.refused", {reason: said(capture.reason ?? "not a digit")})
      : t("captures.read_as", {digit: capture.said, share: percent(capture.confidence)});
    const facts = make("span", "", t(capture.corrected ? "captures.corrected" : "captures.confirmed", {read}));
    const images = make("div", "images");
    images.append(glyphOf(capture.glyph, t("captures.glyph_of", {id: capture.id})), picture);
    about.append(facts, time, make("span", "flag"));
    made.dataset.id = capture.id;
    made.append(images, about, chosen.deleted ? restorer(capture) : changer(capture));
    flag(made);
    return made;
  }

  function changer(capture) {
    const made = make("div", "change"), select = make("select");
    select.setAttribute("aria-label", t("captures.label_of", {id: capture.id}));
    select.append(...LABELS.map((label) => new Option(named(label), label, false, label === capture.label)));
    select.addEventListener("change", () => attempt(async () => {
      await captured(`/${capture.id}`, "PATCH", {label: Number(select.value)});
      done.say([glyphOf(capture.glyph), t("captures.relabelled", {now: named(Number(select.value)), before: named(capture.label)})],
        () => captured(`/${capture.id}`, "PATCH", {label: capture.label}));
    }));
    const remove = button(t("captures.delete"), () => attempt(async () => {
      await captured(`/${capture.id}`, "DELETE");
      done.say([glyphOf(capture.glyph), t("captures.was_deleted")], () => captured(`/${capture.id}/restore`, "POST"));
    }));
    remove.setAttribute("aria-label", t("captures.delete_of", {id: capture.id}));
    made.append(make("span", "", t("captures.label")), select, remove);
    return made;
  }

  function restorer(capture) {
    const made = make("div", "change", `${named(capture.label)} `);
    const restore = button(t("captures.restore"), () => attempt(async () => {
      await captured(`/${capture.id}/restore`, "POST");
      done.say([glyphOf(capture.glyph), t("captures.was_restored")], () => captured(`/${capture.id}`, "DELETE"));
    }));
    restore.setAttribute("aria-label", t("captures.restore_of", {id: capture.id}));
    made.append(restore);
    return made;
  }

  function flag(row) {
    const id = Number(row.dataset.id), suspect = report?.mislabelled.find((each) => each.id === id);
    const twins = report?.alike.find((group) => group.includes(id))?.filter((each) => each !== id) ?? [];
    const flags = [];
    if (suspect) flags.push(t("captures.suspect", {share: percent(suspect.confidence), label: named(suspect.looks_like)}));
    if (twins.length) flags.push(t(twins.length === 1 ? "captures.twin" : "captures.twins", {count: twins.length}));
    const place = row.querySelector(".flag");
    if (place) show(place, flags.join(" "));
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
      draw(await captured(query(last)), true);
    } catch (error) { show(byId("captures-problem"), error.message); }
  });

  /* A file that a link leads to comes with the session's cookie: the PIN is asked for before. */
  byId("captures-export").addEventListener("click", async (event) => {
    event.preventDefault();
    if (!await change.asOwner()) return;
    const link = make("a");
    Object.assign(link, {href: event.target.href, download: event.target.download});
    link.click();
  });

  byId("captures-import").addEventListener("change", async (event) => {
    const [file] = event.target.files, limit = Number(document.body.dataset.uploadBytes);
    event.target.value = "";        // the same file may be sent again
    if (!file) return;
    if (file.size > limit) {
      done.say([t("captures.too_large", {size: (file.size / 1e6).toFixed(1), limit: limit / 1e6})]);
      return;
    }
    done.say([t("captures.importing")]);
    await attempt(async () => {
      const {added, known} = await captured("/import", "POST", file);
      done.say([t("captures.imported", {added, known})]);
    });
  });

  changed();
}
