"use strict";

/* The captures: list, filter, relabel, delete and restore, export, import. After teaching.js. */
{
  const PAGE = 12;
  const list = byId("captures"), filter = byId("captures-filter"), more = byId("captures-more");
  const message = new UndoMessage(byId("captures-done"), refresh);
  let chosen = {}, report = null, requests = 0, reportTimer;

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

  /* Lists the captures anew, and fetches the report on them when it is made. */
  async function refresh() {
    const number = ++requests;
    try {
      const answer = await request(`captures${query()}`);
      if (number !== requests) return;
      show(byId("captures-problem"), "");
      draw(answer, false);
    } catch (error) { show(byId("captures-problem"), error.message); }
    clearTimeout(reportTimer);
    reportTimer = setTimeout(updateReport, 500);
  }

  async function updateReport() {
    try {
      report = await request("captures/report");
    } catch (error) {
      if (error.status === 503) reportTimer = setTimeout(updateReport, 2000);
      return;
    }
    const total = report.counts.reduce((sum, each) => sum + each, 0);
    byId("captures-report").replaceChildren(...(total ? report.sentences.map((each) => make("li", "", translate(each))) : []));
    drawFilter(report.counts);
    list.querySelectorAll("li").forEach(updateFlag);
  }

  function draw(answer, older) {
    byId("captures-none").hidden = answer.total > 0;
    byId("captures-export").hidden = answer.total === 0;
    show(byId("captures-notice"), translate(answer.notice));
    drawFilter(answer.counts);
    const rows = answer.captures.map(makeRow);
    if (older) list.append(...rows); else list.replaceChildren(...rows);
    if (!list.children.length && answer.total) list.append(make("li", "hint", t("page.none_of_these")));
    more.hidden = Boolean(chosen.of) || answer.captures.length < PAGE;
  }

  const chips = new Map();        // by their text: a chip that is pressed just now stays where it is

  function chip(text, count, choice) {
    const made = chips.get(text) ?? makeButton(text, () => { chosen = choice; refresh(); }, "chip");
    chips.set(text, made);
    made.setAttribute("aria-pressed", String(isChosen(choice)));
    // The count stays the same element: it may be pressed just now.
    if (count !== null) (made.querySelector("span") ?? made.appendChild(make("span"))).textContent = String(count);
    return made;
  }

  function drawFilter(counts) {
    const total = counts.reduce((sum, each) => sum + each, 0);
    const wanted = [chip(t("captures.all"), total, {}), ...LABELS.map((label) => chip(nameOf(label), counts[label], {label}))];
    if (doubtful().length) wanted.push(chip(t("captures.doubtful"), doubtful().length, {of: "doubtful"}));
    if (alike().length) wanted.push(chip(t("captures.alike"), alike().length, {of: "alike"}));
    wanted.push(chip(t("captures.deleted"), null, {deleted: 1}));
    for (const each of [...filter.children]) if (!wanted.includes(each)) each.remove();
    wanted.forEach((each, place) => {
      if (filter.children[place] !== each) filter.insertBefore(each, filter.children[place] ?? null);
    });
    filter.hidden = !total && !chosen.deleted && !list.children.length;
  }

  function makeRow(capture) {
    const row = make("li"), about = make("div", "about");
    const picture = make("img", "surroundings"), time = make("time", "", dateTime(capture.at));
    Object.assign(picture, {src: `/api/v1/captures/${capture.id}/picture`, alt: "", loading: "lazy"});
    time.dateTime = new Date(capture.at * 1000).toISOString();
    const read = capture.said === null ? t("captures.refused", {reason: translate(capture.reason ?? "not a digit")})
      : t("captures.read_as", {digit: capture.said, share: percent(capture.confidence)});
    const facts = make("span", "", t(capture.corrected ? "captures.corrected" : "captures.confirmed", {read}));
    const images = make("div", "images");
    images.append(makeGlyph(capture.glyph, t("captures.glyph_of", {id: capture.id})), picture);
    about.append(facts, time, make("span", "flag"));
    row.dataset.id = capture.id;
    row.append(images, about, chosen.deleted ? makeRestorer(capture) : makeEditor(capture));
    updateFlag(row);
    return row;
  }

  function makeEditor(capture) {
    const made = make("div", "change"), select = make("select");
    select.setAttribute("aria-label", t("captures.label_of", {id: capture.id}));
    select.append(...LABELS.map((label) => new Option(nameOf(label), label, false, label === capture.label)));
    select.addEventListener("change", () => attempt(async () => {
      await request(`captures/${capture.id}`, "PATCH", {label: Number(select.value)});
      message.show([makeGlyph(capture.glyph), t("captures.relabelled", {now: nameOf(Number(select.value)), before: nameOf(capture.label)})],
        () => request(`captures/${capture.id}`, "PATCH", {label: capture.label}));
    }));
    const remove = makeButton(t("captures.delete"), () => attempt(async () => {
      await request(`captures/${capture.id}`, "DELETE");
      message.show([makeGlyph(capture.glyph), t("captures.was_deleted")], () => request(`captures/${capture.id}/restore`, "POST"));
    }));
    remove.setAttribute("aria-label", t("captures.delete_of", {id: capture.id}));
    made.append(make("span", "", t("captures.label")), select, remove);
    return made;
  }

  function makeRestorer(capture) {
    const made = make("div", "change", `${nameOf(capture.label)} `);
    const restore = makeButton(t("captures.restore"), () => attempt(async () => {
      await request(`captures/${capture.id}/restore`, "POST");
      message.show([makeGlyph(capture.glyph), t("captures.was_restored")], () => request(`captures/${capture.id}`, "DELETE"));
    }));
    restore.setAttribute("aria-label", t("captures.restore_of", {id: capture.id}));
    made.append(restore);
    return made;
  }

  function updateFlag(row) {
    const id = Number(row.dataset.id), suspect = report?.mislabelled.find((each) => each.id === id);
    const twins = report?.alike.find((group) => group.includes(id))?.filter((each) => each !== id) ?? [];
    const flags = [];
    if (suspect) flags.push(t("captures.suspect", {share: percent(suspect.confidence), label: nameOf(suspect.looks_like)}));
    if (twins.length) flags.push(t(twins.length === 1 ? "captures.twin" : "captures.twins", {count: twins.length}));
    const place = row.querySelector(".flag");
    if (place) show(place, flags.join(" "));
  }

  async function attempt(action) {
    try {
      await action();
    } catch (error) { message.show([error.message]); }
    await refresh();
  }

  more.addEventListener("click", async () => {
    const last = list.lastElementChild?.dataset.id;
    try {
      draw(await request(`captures${query(last)}`), true);
    } catch (error) { show(byId("captures-problem"), error.message); }
  });

  /* The download needs the session's cookie, so it asks for the PIN before. */
  byId("captures-export").addEventListener("click", async (event) => {
    event.preventDefault();
    if (!await owner.unlock()) return;
    const link = make("a");
    Object.assign(link, {href: event.target.href, download: event.target.download});
    link.click();
  });

  byId("captures-import").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";        // the same file may be sent again
    if (!file) return;
    if (file.size > UPLOAD_LIMIT) {
      message.show([t("captures.too_large", {size: megabytes(file.size), limit: UPLOAD_LIMIT / 1e6})]);
      return;
    }
    message.show([t("captures.importing")]);
    await attempt(async () => {
      const {added, known} = await request("captures/import", "POST", file);
      message.show([t("captures.imported", {added, known})]);
    });
  });

  refresh();
}
