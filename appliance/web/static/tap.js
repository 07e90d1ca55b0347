"use strict";

/* Teaching: a tap under a reading says what it really is. After now.js. */
{
  const LINGER_MS = 4000;       // a late tap is still about the reading that was just shown

  class Teacher {
    constructor(view) {
      const element = view.element.querySelector(".teach");
      this.view = view;
      this.glyph = element.querySelector(".glyph");
      this.question = element.querySelector(".of span");
      this.message = new UndoMessage(element.querySelector(".taught"));
      this.right = makeButton(t("teaching.right"), () => this.teach((this.pressed ?? this.target)?.right), "right");
      this.buttons = LABELS.map((label) => makeButton(nameOf(label), () => this.teach(label)));
      this.buttons[NOT_A_DIGIT].classList.add("none");
      const labels = element.querySelector(".labels");
      labels.append(this.right, ...this.buttons);
      // The reading may change between the finger's way down and up.
      labels.addEventListener("pointerdown", () => { this.pressed = this.target; });
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
      // Only an answer that is shown large and belongs to this glyph can be called right.
      if (settled === reading.digit) right = reading.digit ?? (reading.reason === "not a digit" ? NOT_A_DIGIT : null);
      this.aim({number: reading.number, at: reading.at, glyph, right});
    }

    aim(target) {
      const same = target && this.target?.number === target.number;
      this.target = target;
      if (target) this.glyph.src = target.glyph; else this.glyph.removeAttribute("src");
      this.question.textContent = t(target ? "teaching.question" : "teaching.show_first");
      for (const each of this.buttons) each.disabled = !target;
      this.right.disabled = !target || target.right === null;
      this.right.textContent = target && target.right !== null
        ? t("teaching.right_label", {label: nameOf(target.right)}) : t("teaching.right");
      if (!same) this.mark(null);
    }

    /* Shows which label was tapped. */
    mark(label) {
      this.buttons.forEach((each, digit) => each.setAttribute("aria-pressed", String(digit === label)));
    }

    async teach(label) {
      const target = this.pressed ?? this.target;
      this.pressed = null;
      if (!target || label === undefined || label === null) return;
      try {
        const capture = await request("captures", "POST", {label, reading: target.number, at: target.at});
        if (this.target?.number === target.number) this.mark(label);
        this.message.show([makeGlyph(capture.glyph), t("teaching.kept", {label: nameOf(label)})], async () => {
          await request(`captures/${capture.id}`, "DELETE");
          this.mark(null);
        });
      } catch (error) { this.message.show([error.message]); }
    }
  }

  new Teacher(live);
  new Teacher(mine);
}
