"use strict";

const POLL_MS = 500;          // two pictures a second, and only while somebody looks; later if many do
const NETWORK_MS = 10000;
const PAGE = Math.random().toString(36).slice(2);
const PAUSE_MS = 900;         // without a stroke, then the drawing is read
const HISTORY_ROWS = 10;

/* One reading on the page: the digit, the bars, the strip. The camera's and one's own look alike. */
class ReadingView {
  constructor(element) {
    this.element = element;
    element.append(byId("reading").content.cloneNode(true));
    this.digit = element.querySelector(".digit");
    this.why = element.querySelector(".why");
    this.all = element.querySelector(".all");
    const bars = element.querySelector(".bars");
    this.bars = Array.from({length: 10}, (_, digit) => {
      const row = document.createElement("li");
      row.innerHTML = `<span>${digit}</span><div class="track"><div class="fill"></div></div><span class="share"></span>`;
      bars.append(row);
      return row;
    });
  }

  /* `digit` is what is shown large: the settled one of a camera, the only one of a drawing. */
  update(reading, digit) {
    this.reading = reading;
    this.element.dispatchEvent(new Event("reading"));
    const large = digit === null ? "–" : String(digit);
    if (this.digit.textContent !== large) this.digit.textContent = large;
    this.why.textContent = reading.digit === null
      ? said(reading.reason)       // a fault stands above, for all to see
      : t("reading.with", {digit: reading.digit, share: Math.round(100 * reading.confidence)});
    const best = Math.max(...reading.probabilities);
    this.bars.forEach((row, each) => {
      const share = reading.probabilities[each];
      row.querySelector(".fill").style.width = `${share * 100}%`;
      row.querySelector(".share").textContent = best > 0 ? percent(share) : "";
      row.classList.toggle("top", share === best && best > 0);
    });
    for (const [stage, url] of Object.entries(reading.strip)) {
      const picture = this.element.querySelector(`.stage-${stage} img`);
      if (url) picture.src = url; else picture.removeAttribute("src");
    }
    this.placeBoxes(reading);
    const inside = this.element.querySelector(".inside");
    inside.hidden = !reading.strip.glyph;
    inside.firstChild.href = `/inside?reading=${reading.number}`;
    const several = reading.marks.length > 1;
    show(this.all, several ? t("reading.several", {digits: reading.marks.map((mark) => mark.digit ?? "?").join(" ")}) : "");
  }

  /* Every mark has its box and answer on the frame; the one that is shown large stands out. */
  placeBoxes(reading) {
    const picture = this.element.querySelector(".stage-frame .picture");
    picture.querySelectorAll(".box").forEach((box) => box.remove());
    if (!reading.frame) return;
    picture.style.aspectRatio = reading.frame.join(" / ");
    const [width, height] = reading.frame;
    for (const mark of reading.marks) {
      const box = document.createElement("div"), [x0, y0, x1, y1] = mark.box;
      box.className = "box";
      box.classList.toggle("primary", String(mark.box) === String(reading.box));
      box.classList.toggle("refused", mark.digit === null);
      box.dataset.answer = mark.digit ?? "?";
      Object.assign(box.style, {
        left: `${100 * x0 / width}%`, top: `${100 * y0 / height}%`,
        width: `${100 * (x1 - x0) / width}%`, height: `${100 * (y1 - y0) / height}%`,
      });
      picture.append(box);
    }
  }
}

/* ---- the camera's readings ---- */

const live = new ReadingView(byId("live"));
let etag = null, shown, wait = POLL_MS, network = "", networkDue = 0;

async function poll() {
  try {
    if (!document.hidden) {
      await newest();
      if (Date.now() >= networkDue) {
        networkDue = Date.now() + NETWORK_MS;
        network = (await (await fetch("/api/v1/health")).json()).network.problem;
      }
    }
  } catch { answers(false); }
  setTimeout(poll, wait);
}

async function newest() {
  const response = await fetch(`/api/v1/reading?pictures=1&page=${PAGE}`, {headers: etag ? {"If-None-Match": etag} : {}});
  wait = 1000 * response.headers.get("Poll-After") || POLL_MS;
  if (response.status === 304) return;
  if (response.status === 401) {
    show(byId("fault"), said((await response.json()).detail));
    return;
  }
  if (!response.ok) throw new Error(response.statusText);
  const reading = await response.json();
  etag = response.headers.get("ETag");
  live.update(reading, reading.settled);
  byId("state").textContent = t(`reading.state_${reading.state}`);
  show(byId("fault"), [reading.fault, network].filter(Boolean).map(said).join(" "));
  if (reading.settled !== shown) {
    await history();
    shown = reading.settled;
  }
}

async function history() {
  const {readings} = await (await fetch(`/api/v1/history?limit=${HISTORY_ROWS}`)).json();
  byId("no-history").hidden = readings.length > 0;
  byId("history").replaceChildren(...readings.map((entry) => {
    const row = document.createElement("li");
    const glyph = document.createElement(entry.glyph ? "img" : "span");
    if (entry.glyph) { glyph.src = entry.glyph; glyph.alt = ""; } else glyph.className = "no-glyph";
    const digit = document.createElement("b"), about = document.createElement("span");
    const time = document.createElement("time"), at = new Date(entry.at * 1000);
    digit.textContent = entry.digit ?? "–";
    about.className = "about";
    about.textContent = entry.digit === null ? said(entry.reason) || t("history.nothing") : percent(entry.confidence);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString(LANGUAGE);
    row.append(glyph, digit, about, time);
    return row;
  }));
}

/* ---- one's own digit ---- */

const pad = byId("pad"), pen = pad.getContext("2d"), mine = new ReadingView(byId("mine"));
let pause, asked = 0, drawn = false;

function clear() {
  clearTimeout(pause);
  asked++;
  drawn = false;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, pad.width, pad.height);
  Object.assign(pen, {lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "#111"});
  byId("mine").hidden = true;
  show(byId("problem"), "");
}

function at(event) {
  const place = pad.getBoundingClientRect();
  return [(event.clientX - place.left) * pad.width / place.width,
          (event.clientY - place.top) * pad.height / place.height];
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  clearTimeout(pause);
  pad.setPointerCapture(event.pointerId);
  drawn = true;
  pen.beginPath();
  pen.moveTo(...at(event));
  pen.lineTo(...at(event));
  pen.stroke();
});
pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) pen.lineTo(...at(each));
  pen.stroke();
});
for (const end of ["pointerup", "pointercancel"]) {
  pad.addEventListener(end, (event) => {
    if (pad.hasPointerCapture(event.pointerId)) pause = setTimeout(readDrawing, PAUSE_MS);
  });
}

function readDrawing() {
  clearTimeout(pause);
  if (drawn) pad.toBlob(send, "image/png");
  else show(byId("problem"), t("draw.empty"));
}

async function send(picture) {
  const number = ++asked;
  show(byId("problem"), "");
  const limit = Number(document.body.dataset.uploadBytes);
  if (picture.size > limit) {
    show(byId("problem"), t("draw.too_large", {size: (picture.size / 1e6).toFixed(1), limit: limit / 1e6}));
    return;
  }
  let answer, sentence = "";
  try {
    const response = await fetch("/api/v1/read?pictures=1", {method: "POST", body: picture});
    answer = await response.json();
    if (!response.ok) sentence = said(answer.detail);
  } catch {
    sentence = NO_ANSWER;
  }
  if (number !== asked) return;   // meanwhile cleared, or another was sent
  show(byId("problem"), sentence);
  byId("mine").hidden = Boolean(sentence);
  if (!sentence) mine.update(answer, answer.digit);
}

byId("read").addEventListener("click", readDrawing);
byId("clear").addEventListener("click", clear);
byId("photo").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) send(file);
  event.target.value = "";        // the same photo may be sent again
});

clear();
poll();
