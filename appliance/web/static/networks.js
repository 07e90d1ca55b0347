"use strict";

/* The networks: which one reads, promote another, roll back. After base.js. */
{
  const POLL_MS = 10000;
  const FACTS = [
    "id", "state", "preset", "parent", "command", "seed", "epochs", "best_epoch", "interrupted", "made", "seconds", "cpu_seconds",
    "training_multiply_adds", "parameters", "multiply_adds", "data", "captures", "validation_accuracy", "test", "own", "report",
  ];
  const stateOf = (state) => t(`networks.state_${state}`);
  const rows = byId("networks"), facts = byId("network-facts"), rollBack = byId("roll-back");
  let shown = "", open = null, busy = false;

  const share = (score) => score?.total ? `${(100 * score.right / score.total).toFixed(2)} %` : "–";
  /* A night measures its network on the held-out part of MNIST; the shipped one was measured on the test digits. */
  const mnistScore = (card) => card.test || !card.validation_accuracy ? share(card.test)
    : t("networks.held_out", {share: (100 * card.validation_accuracy).toFixed(2)});
  const inWords = (value) => {
    if (value === null || value === undefined) return "–";
    if (/^[0-9a-f]{64}$/.test(value)) return `${value.slice(0, 12)}…`;
    if (typeof value === "number") return value.toLocaleString(LANGUAGE);
    if (typeof value !== "object") return String(value);
    if (value.total && "right" in value) return t("networks.right_of", {share: share(value), right: value.right, total: value.total});
    return Object.entries(value).map(([key, each]) => `${key}: ${inWords(each)}`).join(", ");
  };

  function labelledButton(text, label, action) {
    const button = makeButton(text, action);
    button.setAttribute("aria-label", label);
    return button;
  }

  const cell = (name, text, kind = "span") => makeCell(t(`networks.${name}`), make(kind, "", text));

  function makeRow(network, current) {
    const row = make("tr"), buttons = make("div", "row-buttons");
    row.dataset.state = network.state;
    if (network.state !== "damaged") {
      buttons.append(labelledButton(t(open === network.id ? "networks.less" : "networks.card"), t("networks.card_of", {id: network.id}), () => {
        open = open === network.id ? null : network.id;
        attempt(refresh);
      }));
    }
    if (!["current", "damaged"].includes(network.state)) {
      buttons.append(labelledButton(t("networks.promote"), t("networks.promote_of", {id: network.id}), () => changeNetwork(
        `${network.id}/promote`, t("networks.promote_sure", {id: network.id, current}))));
    }
    row.append(
      cell("network", network.id, "code"),
      cell("made", network.shipped ? t("networks.ships") : dateTime(network.made)),
      cell("mnist", mnistScore(network.card)),
      cell("own", share(network.card.own)),
      cell("state", stateOf(network.state)),
      makeCell("", buttons),
    );
    return row;
  }

  function update(answer) {
    // Unchanged buttons stay: one may be pressed just now.
    const text = JSON.stringify(answer) + open;
    if (text === shown) return;
    shown = text;
    const current = answer.networks.find((each) => each.state === "current")?.id ?? "–";
    rows.replaceChildren(...answer.networks.map((each) => makeRow(each, current)));
    rollBack.hidden = answer.before === null;
    rollBack.textContent = t("networks.roll_back", {id: answer.before});
    rollBack.onclick = () => changeNetwork("roll-back", t("networks.roll_back_sure", {id: answer.before, current}));
    const file = answer.reads.file && t("networks.file", {file: answer.reads.file});
    show(byId("networks-problem"), [translate(answer.reads.problem), file].filter(Boolean).join(" "));
  }

  async function updateCard(current) {
    facts.hidden = open === null;
    if (open === null) return;
    const other = current ?? open;
    const answer = await request(`networks/${open}?beside=${other}`);
    facts.replaceChildren(...FACTS.filter((key) => key in answer.facts).map((key) => {
      const row = make("tr"), head = make("th", "", t(`networks.fact_${key}`));
      head.scope = "row";
      // Beside the current one, or the current one alone.
      const values = answer.facts[key].slice(0, other === open ? 1 : 2);
      row.append(head, ...values.map((each) => make("td", "", inWords(key === "state" ? stateOf(each) : each))));
      return row;
    }));
  }

  async function refresh() {
    const answer = await request("networks");
    update(answer);
    await updateCard(answer.networks.find((each) => each.state === "current")?.id);
  }

  async function changeNetwork(path, question) {
    if (busy || !confirm(question)) return;
    busy = true;
    await attempt(async () => {
      update(await request(`networks/${path}`, "POST"));
      await refresh();
    });
    busy = false;
  }

  /* A refusal stays until something else is done. */
  async function attempt(action) {
    try {
      await action();
      show(byId("networks-refused"), "");
    } catch (error) {
      show(byId("networks-refused"), error.message);
    }
  }

  async function poll() {
    // training.js says it when the appliance does not answer.
    if (!document.hidden && !busy) await refresh().catch(() => {});
    setTimeout(poll, POLL_MS);
  }
  poll();
}
