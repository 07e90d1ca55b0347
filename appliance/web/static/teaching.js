"use strict";

/* What the view with the taps and the view of the captures share. After base.js. */
const NOT_A_DIGIT = 10, UNDO_MS = 20000;
const LABELS = Array.from({length: NOT_A_DIGIT + 1}, (_, label) => label);
const nameOf = (label) => label === NOT_A_DIGIT ? t("teaching.not_a_digit") : String(label);

function makeGlyph(url, alt = "") {
  const image = make("img", "glyph");
  Object.assign(image, {src: url, alt});
  return image;
}

/* A line that says what was done, with a button to undo it; or what could not be done. */
class UndoMessage {
  /* `onUndone` is called when something was undone, or could not be. */
  constructor(element, onUndone = () => {}) { Object.assign(this, {element, onUndone}); }

  show(parts, undo = null) {
    clearTimeout(this.timer);
    this.element.replaceChildren(...parts);
    this.element.hidden = false;
    if (undo) this.element.append(makeButton(t("teaching.undo"), async () => {
      try {
        await undo();
        this.show([t("teaching.undone")]);
      } catch (error) { this.show([error.message]); }
      this.onUndone();
    }));
    this.timer = setTimeout(() => { this.element.hidden = true; }, UNDO_MS);
  }
}
