"use strict";

/* Captures, for the view where one taps and the one that lists them. After base.js. */
const NOT_A_DIGIT = 10, UNDO_MS = 20000;
const LABELS = Array.from({length: NOT_A_DIGIT + 1}, (_, label) => label);
const named = (label) => label === NOT_A_DIGIT ? t("teaching.not_a_digit") : String(label);

async function captured(path, method = "GET", body = undefined) {
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
  if (!response.ok) throw Object.assign(new Error(said(answer.detail)), {status: response.status});
  return answer;
}

function glyphOf(url, alt = "") {
  const image = make("img", "glyph");
  Object.assign(image, {src: url, alt});
  return image;
}

/* What was done, with the way back; or what could not be done. */
class Said {
  /* `after` is called when something was undone. */
  constructor(element, after = () => {}) { Object.assign(this, {element, after}); }

  say(parts, undo = null) {
    clearTimeout(this.timer);
    this.element.replaceChildren(...parts);
    this.element.hidden = false;
    if (undo) this.element.append(button(t("teaching.undo"), async () => {
      try {
        await undo();
        this.say([t("teaching.undone")]);
      } catch (error) { this.say([error.message]); }
      this.after();
    }));
    this.timer = setTimeout(() => { this.element.hidden = true; }, UNDO_MS);
  }
}
