"use strict";

const stock = document.getElementById("stock");
const orders = document.getElementById("orders");

// element makes an element with a text and children.
function element(name, text, ...children) {
  const e = document.createElement(name);
  e.textContent = text;
  e.append(...children);
  return e;
}

async function showStock() {
  const answer = await fetch("/stock");
  if (!answer.ok) return; // it is shown after the next order
  stock.replaceChildren(...(await answer.json()).map(({ item, remaining }) => {
    const button = element("button", "Order");
    button.dataset.item = item;
    button.addEventListener("click", () => order(item));
    return element("li", "", element("span", `${item}: ${remaining} left`), button);
  }));
}

// order sends the command, and follows what becomes of it.
async function order(item) {
  const line = newLine(item);
  try {
    const answer = await send({ item });
    if (answer.status !== 202) {
      line.show("failed", (await answer.json()).detail);
      return;
    }
    line.show("accepted", "accepted");
    follow(answer.headers.get("Location"), line);
  } catch {
    line.show("failed", "the shop can't be reached");
  }
}

// send repeats a request that got no answer, or one that says to try again. The key lets all of
// them be one order.
async function send(command) {
  const key = crypto.randomUUID();
  for (let tries = 5; ; tries--) {
    try {
      const answer = await fetch("/commands/place-order", {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": `"${key}"` },
        body: JSON.stringify(command),
      });
      if (![409, 503].includes(answer.status) || tries === 1) return answer;
    } catch (error) {
      if (tries === 1) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// newLine adds an order to the page.
function newLine(item) {
  const bar = element("progress", "");
  const text = element("span", "sending");
  const line = element("li", `${item} `, bar, " ", text);
  bar.max = 100;
  text.className = "text";
  orders.prepend(line);
  return {
    show(state, words, percent) {
      line.dataset.state = state;
      text.textContent = words;
      if (percent !== undefined) bar.value = percent;
    },
  };
}

// follow shows an operation until it is final. When the connection breaks, the browser opens
// another, and goes on after the event that it has seen last.
function follow(at, line) {
  const events = new EventSource(`${at}/events`);
  events.addEventListener("operation", async (e) => {
    const operation = JSON.parse(e.data);
    if (!operation.final) {
      const { percent, note } = operation.progress ?? {};
      line.show(operation.state, note ? `${note}, ${percent} %` : operation.state, percent);
      return;
    }
    events.close();
    line.show(operation.state, await outcome(operation), 100);
    showStock();
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) line.show("unknown", "nothing more is known");
  });
}

// outcome says what an operation has come to.
async function outcome({ state, problem, links }) {
  if (state !== "succeeded") return problem?.message ?? state;
  try {
    const { number } = await (await fetch(links.result)).json();
    return `done: receipt ${number}`;
  } catch {
    return "done";
  }
}

showStock();
