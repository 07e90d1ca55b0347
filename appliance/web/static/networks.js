"use strict";

/* The networks on this appliance: which one reads, promote another, roll back. After base.js. */
{
  const EVERY_MS = 10000;
  const FACTS = [
    "id", "state", "preset", "parent", "command", "seed", "epochs", "best_epoch", "interrupted", "made", "seconds", "cpu_seconds",
    "training_multiply_adds", "parameters", "multiply_adds", "data", "captures", "validation_accuracy", "test", "own", "report",
  ];
  const stateOf = (state) => t(`networks.state_${state}`);
  const rows = byId("networks"), facts = byId("network-facts"), before = byId("roll-back");
  let last = "", open = null, busy = false;

  const share = (score) => score?.total ? `${(100 * score.right / score.total).toFixed(2)} %` : "–";
  /* A network of the night is measured on the held-out part of MNIST, the shipped one on its test digits. */
  const mnist = (card) => card.test || !card.validation_accuracy ? share(card.test)
    : t("networks.held_out", {share: (100 * card.validation_accuracy).toFixed(2)});
  const day = (seconds) => new Date(seconds * 1000).toLocaleString(LANGUAGE, {dateStyle: "short", timeStyle: "short"});
  const words = (value) => {
    if (value === null || value === undefined) return "–";
    if (/^[0-9a-f]{64}$/.test(value)) return `${value.slice(0, 12)}…`;
    if (typeof value === "number") return value.toLocaleString(LANGUAGE);
    if (typeof value !== "object") return String(value);
    if (value.total && "right" in value) return t("networks.right_of", {share: share(value), right: value.right, total: value.total});
    return Object.entries(value).map(([key, each]) => `${key}: ${words(each)}`).join(", ");
  };

  function labelled(text, label, action) {
    const made = button(text, action);
    made.setAttribute("aria-label", label);
    return made;
  }

  function cell(label, content) {
    const made = document.createElement("td");
    made.dataset.label = label && t(`networks.${label}`);
    made.append(content);
    return made;
  }

  function row(network, current) {
    const made = document.createElement("tr"), buttons = make("div", "row-buttons");
    made.dataset.state = network.state;
    if (network.state !== "damaged") {
      buttons.append(labelled(t(open === network.id ? "networks.less" : "networks.card"), t("networks.card_of", {id: network.id}), () => {
        open = open === network.id ? null : network.id;
        attempt(refresh);
      }));
    }
    if (!["current", "damaged"].includes(network.state)) {
      buttons.append(labelled(t("networks.promote"), t("networks.promote_of", {id: network.id}), () => become(
        `${network.id}/promote`, t("networks.promote_sure", {id: network.id, current}))));
    }
    made.append(
      cell("network", make("code", "", network.id)),
      cell("made", make("span", "", network.shipped ? t("networks.ships") : day(network.made))),
      cell("mnist", make("span", "", mnist(network.card))),
      cell("own", make("span", "", share(network.card.own))),
      cell("state", make("span", "", stateOf(network.state))),
      cell("", buttons),
    );
    return made;
  }

  function update(told) {
    // A press that comes between two polls is not to lose its button.
    const text = JSON.stringify(told) + open;
    if (text === last) return;
    last = text;
    const current = told.networks.find((each) => each.state === "current")?.id ?? "–";
    rows.replaceChildren(...told.networks.map((each) => row(each, current)));
    before.hidden = told.before === null;
    before.textContent = t("networks.roll_back", {id: told.before});
    before.onclick = () => become("roll-back", t("networks.roll_back_sure", {id: told.before, current}));
    const file = told.reads.file && t("networks.file", {file: told.reads.file});
    show(byId("networks-problem"), [said(told.reads.problem), file].filter(Boolean).join(" "));
  }

  async function card(current) {
    facts.hidden = open === null;
    if (open === null) return;
    const other = current ?? open;
    const answer = await ask(`/api/v1/networks/${open}?beside=${other}`);
    const told = FACTS.filter((key) => key in answer.facts);
    facts.replaceChildren(...told.map((key) => {
      const made = document.createElement("tr"), head = make("th", "", t(`networks.fact_${key}`));
      head.scope = "row";
      // Beside the current one, or the current one alone.
      const values = answer.facts[key].slice(0, other === open ? 1 : 2);
      made.append(head, ...values.map((each) => make("td", "", words(key === "state" ? stateOf(each) : each))));
      return made;
    }));
  }

  async function ask(address, options) {
    const response = await (options ? change(address, options) : fetch(address)), answer = await response.json();
    if (!response.ok) throw new Error(said(answer.detail));
    return answer;
  }

  async function refresh() {
    const told = await ask("/api/v1/networks");
    update(told);
    await card(told.networks.find((each) => each.state === "current")?.id);
  }

  async function become(path, question) {
    if (busy || !confirm(question)) return;
    busy = true;
    await attempt(async () => {
      update(await ask(`/api/v1/networks/${path}`, {method: "POST"}));
      await refresh();
    });
    busy = false;
  }

  /* What was refused is told until something is done again. */
  async function attempt(action) {
    try {
      await action();
      show(byId("networks-refused"), "");
    } catch (error) {
      show(byId("networks-refused"), error instanceof TypeError ? NO_ANSWER : error.message);
    }
  }

  async function poll() {
    // training.js tells when the appliance does not answer.
    if (!document.hidden && !busy) await refresh().catch(() => {});
    setTimeout(poll, EVERY_MS);
  }
  poll();
}
