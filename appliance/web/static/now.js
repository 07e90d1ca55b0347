"use strict";

const POLL_MS = 500;          // two pictures a second while the page is visible; later if many pages are open
const NETWORK_MS = 10000;
const PAGE = Math.random().toString(36).slice(2);
const PAUSE_MS = 900;         // a drawing is read after so long without a stroke
const HISTORY_ROWS = 10;

/* One reading on the page: the digit, the bars, the strip; the camera's, or one's own. */
class ReadingView {
  constructor(element) {
    this.element = element;
    element.append(byId("reading").content.cloneNode(true));
    this.digit = element.querySelector(".digit");
    this.why = element.querySelector(".why");
    this.all = element.querySelector(".all");
    const bars = element.querySelector(".bars");
    this.bars = Array.from({length: 10}, (_, digit) => {
      const row = make("li");
      row.innerHTML = `<span>${digit}</span><div class="track"><div class="fill"></div></div><span class="share"></span>`;
      bars.append(row);
      return row;
    });
  }

  /* `digit` is shown large: of the camera's readings the settled one. */
  update(reading, digit) {
    this.reading = reading;
    this.element.dispatchEvent(new Event("reading"));
    const large = digit === null ? "–" : String(digit);
    if (this.digit.textContent !== large) this.digit.textContent = large;
    this.why.textContent = reading.digit === null
      ? translate(reading.reason)  // a fault stands at the top of the page
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

  /* Draws each mark's box and answer on the frame; the mark that is shown large stands out. */
  placeBoxes(reading) {
    const picture = this.element.querySelector(".stage-frame .picture");
    picture.querySelectorAll(".box").forEach((box) => box.remove());
    if (!reading.frame) return;
    picture.style.aspectRatio = reading.frame.join(" / ");
    const [width, height] = reading.frame;
    for (const mark of reading.marks) {
      const box = make("div", "box"), [x0, y0, x1, y1] = mark.box;
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
let etag = null, shownDigit, wait = POLL_MS, networkProblem = "", networkDue = 0;

async function poll() {
  try {
    if (!document.hidden) {
      await updateLive();
      if (Date.now() >= networkDue) {
        networkDue = Date.now() + NETWORK_MS;
        networkProblem = (await request("health")).network.problem;
      }
    }
  } catch { showConnected(false); }
  setTimeout(poll, wait);
}

async function updateLive() {
  const response = await fetch(`/api/v1/reading?pictures=1&page=${PAGE}`, {headers: etag ? {"If-None-Match": etag} : {}});
  wait = 1000 * response.headers.get("Poll-After") || POLL_MS;
  if (response.status === 304) return;
  if (response.status === 401) {
    show(byId("fault"), translate((await response.json()).detail));
    return;
  }
  if (!response.ok) throw new Error(response.statusText);
  const reading = await response.json();
  etag = response.headers.get("ETag");
  live.update(reading, reading.settled);
  byId("state").textContent = t(`reading.state_${reading.state}`);
  show(byId("fault"), [reading.fault, networkProblem].filter(Boolean).map(translate).join(" "));
  if (reading.settled !== shownDigit) {
    await updateHistory();
    shownDigit = reading.settled;
  }
}

async function updateHistory() {
  const {readings} = await request(`history?limit=${HISTORY_ROWS}`);
  byId("no-history").hidden = readings.length > 0;
  byId("history").replaceChildren(...readings.map((entry) => {
    const row = make("li"), at = new Date(entry.at * 1000), time = make("time", "", at.toLocaleTimeString(LANGUAGE));
    const glyph = entry.glyph ? Object.assign(make("img"), {src: entry.glyph, alt: ""}) : make("span", "no-glyph");
    const about = entry.digit === null ? translate(entry.reason) || t("history.nothing") : percent(entry.confidence);
    time.dateTime = at.toISOString();
    row.append(glyph, make("b", "", String(entry.digit ?? "–")), make("span", "about", about), time);
    return row;
  }));
}

/* ---- one's own digit ---- */

const pad = byId("pad"), pen = pad.getContext("2d"), mine = new ReadingView(byId("mine"));
let pause, requests = 0, isDrawn = false;

function clear() {
  clearTimeout(pause);
  requests++;
  isDrawn = false;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, pad.width, pad.height);
  Object.assign(pen, {lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "#111"});
  byId("mine").hidden = true;
  show(byId("problem"), "");
}

function canvasPoint(event) {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  clearTimeout(pause);
  pad.setPointerCapture(event.pointerId);
  isDrawn = true;
  pen.beginPath();
  pen.moveTo(...canvasPoint(event));
  pen.lineTo(...canvasPoint(event));
  pen.stroke();
});
pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) pen.lineTo(...canvasPoint(each));
  pen.stroke();
});
for (const end of ["pointerup", "pointercancel"]) {
  pad.addEventListener(end, (event) => {
    if (pad.hasPointerCapture(event.pointerId)) pause = setTimeout(readDrawing, PAUSE_MS);
  });
}

function readDrawing() {
  clearTimeout(pause);
  if (isDrawn) pad.toBlob(readPicture, "image/png");
  else show(byId("problem"), t("draw.empty"));
}

async function readPicture(picture) {
  const number = ++requests;
  show(byId("problem"), "");
  if (picture.size > UPLOAD_LIMIT) {
    show(byId("problem"), t("draw.too_large", {size: megabytes(picture.size), limit: UPLOAD_LIMIT / 1e6}));
    return;
  }
  let answer, sentence = "";
  try {
    const response = await fetch("/api/v1/read?pictures=1", {method: "POST", body: picture});
    answer = await response.json();
    if (!response.ok) sentence = translate(answer.detail);
  } catch {
    sentence = t("page.no_answer");
  }
  if (number !== requests) return;   // cleared meanwhile, or another picture was sent
  show(byId("problem"), sentence);
  byId("mine").hidden = Boolean(sentence);
  if (!sentence) mine.update(answer, answer.digit);
}

byId("read").addEventListener("click", readDrawing);
byId("clear").addEventListener("click", clear);
byId("photo").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) readPicture(file);
  event.target.value = "";        // the same photo may be sent again
});

clear();
poll();
