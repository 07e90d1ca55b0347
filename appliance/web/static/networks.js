"use strict";

/* The networks on this appliance: which one reads, promote another, roll back. After page.js. */
{
  const EVERY_MS = 10000;
  const STATES = {current: "reads now", previous: "read before", candidate: "candidate", shipped: "candidate", damaged: "damaged"};
  const FACTS = {     // in this order
    id: "network", state: "state", preset: "recipe", parent: "made from", command: "command", seed: "seed", epochs: "epochs", best_epoch: "best epoch",
    interrupted: "interrupted", made: "made", seconds: "seconds of training",
    cpu_seconds: "of them at work", training_multiply_adds: "multiply-adds of training",
    parameters: "parameters", multiply_adds: "multiply-adds a digit", data: "data", captures: "captures",
    validation_accuracy: "on held-out digits", test: "on MNIST's test digits", own: "on your digits", report: "report",
  };
  const rows = byId("networks"), facts = byId("network-facts"), before = byId("roll-back");
  let last = "", open = null, busy = false;

  const share = (score) => score?.total ? `${(100 * score.right / score.total).toFixed(2)} %` : "–";
  /* A network of the night is measured on the held-out part of MNIST, the shipped one on its test digits. */
  const mnist = (card) => card.test || !card.validation_accuracy ? share(card.test)
    : `${(100 * card.validation_accuracy).toFixed(2)} % held out`;
  const day = (seconds) => new Date(seconds * 1000).toLocaleString([], {dateStyle: "short", timeStyle: "short"});
  const words = (value) => {
    if (value === null || value === undefined) return "–";
    if (/^[0-9a-f]{64}$/.test(value)) return `${value.slice(0, 12)}…`;
    if (typeof value === "number") return value.toLocaleString();
    if (typeof value !== "object") return String(value);
    if (value.total && "right" in value) return `${share(value)} (${value.right} of ${value.total})`;
    return Object.entries(value).map(([key, each]) => `${key}: ${words(each)}`).join(", ");
  };

  function make(kind, text, name) {
    const element = document.createElement(kind);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  function button(text, label, action) {
    const made = make("button", text, "quiet");
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", action);
    return made;
  }

  function cell(label, content) {
    const made = document.createElement("td");
    made.dataset.label = label;
    made.append(content);
    return made;
  }

  function row(network, current) {
    const made = document.createElement("tr"), buttons = make("div", "", "row-buttons");
    made.dataset.state = network.state;
    if (network.state !== "damaged") {
      buttons.append(button(open === network.id ? "Less" : "Card", `Card of network ${network.id}`, () => {
        open = open === network.id ? null : network.id;
        attempt(refresh);
      }));
    }
    if (!["current", "damaged"].includes(network.state)) {
      buttons.append(button("Promote", `Promote network ${network.id}`, () => become(
        `${network.id}/promote`, `Read with network ${network.id} from now on, instead of ${current}?`)));
    }
    made.append(
      cell("Network", make("code", network.id)),
      cell("Made", make("span", network.shipped ? "ships with it" : day(network.made))),
      cell("MNIST", make("span", mnist(network.card))),
      cell("Your digits", make("span", share(network.card.own))),
      cell("State", make("span", STATES[network.state])),
      cell("", buttons),
    );
    return made;
  }

  function update(told) {
    // A press that comes between two polls is not to lose its button.
    const text = JSON.stringify(told) + open;
    if (text === last) return;
    last = text;
    const current = told.networks.find((each) => each.state === "current")?.id ?? "none";
    rows.replaceChildren(...told.networks.map((each) => row(each, current)));
    before.hidden = told.before === null;
    before.textContent = `Roll back to ${told.before}`;
    before.onclick = () => become("roll-back", `Read with network ${told.before} again, instead of ${current}?`);
    const file = told.reads.file && `The settings name ${told.reads.file}, which reads instead of the current network. `
      + "Take 'network' under [reader] out of them and restart to read with the current one.";
    show(byId("networks-problem"), [told.reads.problem, file].filter(Boolean).join(" "));
  }

  async function card(current) {
    facts.hidden = open === null;
    if (open === null) return;
    const other = current ?? open;
    const answer = await ask(`/api/v1/networks/${open}?beside=${other}`);
    const told = Object.entries(FACTS).filter(([key]) => key in answer.facts);
    facts.replaceChildren(...told.map(([key, name]) => {
      const made = document.createElement("tr"), head = make("th", name);
      head.scope = "row";
      // Beside the current one, or the current one alone.
      const values = answer.facts[key].slice(0, other === open ? 1 : 2);
      made.append(head, ...values.map((each) => make("td", words(key === "state" ? STATES[each] : each))));
      return made;
    }));
  }

  async function ask(address, options) {
    const response = await (options ? change(address, options) : fetch(address)), answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
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
      await health();
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
    // page.js tells when the appliance does not answer.
    if (!document.hidden && !busy) await refresh().catch(() => {});
    setTimeout(poll, EVERY_MS);
  }
  poll();
}
