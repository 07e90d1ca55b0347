"use strict";

/* Teaching: a tap under a reading says what it really is. After now.js. */
{
  const LINGER_MS = 4000;       // a tap that comes late is still about what was just in view

  class Teacher {
    constructor(view) {
      const element = view.element.querySelector(".teach");
      this.view = view;
      this.glyph = element.querySelector(".glyph");
      this.question = element.querySelector(".of span");
      this.said = new Said(element.querySelector(".taught"));
      this.right = button(t("teaching.right"), () => this.teach(this.held?.right ?? this.target?.right), "right");
      this.digits = LABELS.map((label) => button(named(label), () => this.teach(label)));
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
      this.question.textContent = t(target ? "teaching.question" : "teaching.show_first");
      for (const each of this.digits) each.disabled = !target;
      this.right.disabled = !target || target.right === null;
      this.right.textContent = target && target.right !== null
        ? t("teaching.right_label", {label: named(target.right)}) : t("teaching.right");
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
        const capture = await captured("", "POST", {label, reading: target.number, at: target.at});
        if (this.target?.number === target.number) this.press(label);
        this.said.say([glyphOf(capture.glyph), t("teaching.kept", {label: named(label)})], async () => {
          await captured(`/${capture.id}`, "DELETE");
          this.press(null);
        });
      } catch (error) { this.said.say([error.message]); }
    }
  }

  new Teacher(live);
  new Teacher(mine);
}
