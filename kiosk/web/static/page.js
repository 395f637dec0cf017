"use strict";
// The technician's page: shows what the live feed says, asks before it acts.
const STALE_MS = 5000; // the feed is heard every two seconds
const RECONNECT_MS = [500, 1000, 2000, 5000];
const $ = (id) => document.getElementById(id);
const xsrf = document.querySelector("meta[name=xsrf]").content;
let words = WORDS[localStorage.language] || WORDS[document.documentElement.lang];
let status = null, orders = [], heard = 0, tries = 0;

const say = (text, values = {}) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const yuan = (fen) => `¥${(fen / 100).toFixed(2)}`;
const node = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "X-XSRFToken": xsrf, "Content-Type": "application/json" }, body: JSON.stringify(body || {}) });
  const value = await answer.json().catch(() => ({}));
  $("said").textContent = answer.ok ? (value.detail || words.done) : (value.error ? value.error.message : answer.statusText);
  if (answer.status === 401) location = "/login";
  return answer.ok;
}

function ask(text, yes) {
  const dialog = $("ask");
  dialog.querySelector("p").textContent = text;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const name = (id) => {
  const product = status.products.find((each) => each.id === id);
  return product ? (words === WORDS.en ? product.name_en : product.name) : id;
};

function button(word, act, danger) {
  return node("button", { type: "button", textContent: words[word], className: danger ? "danger" : "quiet", onclick: act });
}

function slotCard(slot) {
  const path = (act) => `/api/slots/${encodeURIComponent(slot.id)}/${act}`;
  const bar = node("meter", { min: 0, max: slot.capacity, value: slot.stock, ariaLabel: say(words.of, slot) });
  const buttons = node("div", { className: "buttons" });
  buttons.append(button("fill", () => post(path("restock"), { stock: slot.capacity })));
  buttons.append(button("restock", () => {
    const given = prompt(say(words.ask_stock, { slot: slot.id, capacity: slot.capacity }), slot.stock);
    if (given !== null) post(path("restock"), { stock: Number(given.trim() || NaN) });
  }));
  if (slot.state === "jammed") buttons.append(button("free", () => post(path("enable"))));
  else if (slot.state === "disabled") buttons.append(button("enable", () => post(path("enable"))));
  else buttons.append(button("disable", () => post(path("disable"))));
  buttons.append(button("test", async () => (await ask(say(words.ask_test, { slot: slot.id }), words.test)) && post(path("test-vend")), true));
  const card = node("article", { className: `slot ${slot.state}` },
    node("h3", {}, node("b", { textContent: slot.id }), ` ${name(slot.product)}`),
    node("p", {}, node("span", { className: `chip ${slot.state}`, textContent: words.states[slot.state] }), ` ${say(words.of, slot)}`), bar);
  if (slot.fault) card.append(node("p", { className: "fault", textContent: slot.fault }));
  card.append(buttons);
  card.id = `slot-${slot.id}`;
  return card;
}

function showStatus() {
  const selling = status.products.filter((product) => product.available > 0).length;
  $("band").className = status.health;
  $("headline").textContent = status.vending ? say(words.vending, { slot: status.vending })
    : say(words[status.health], { n: status.health === "out_of_service" ? 0 : selling, all: status.products.length });
  $("problems").replaceChildren(...status.problems.map((problem) =>
    node("li", { className: problem.blocking ? "blocking" : "" }, problem.message, node("time", { dateTime: problem.since, textContent: ` ${clock(problem.since)}` }))));
  const rows = Map.groupBy ? Map.groupBy(status.slots, (slot) => slot.id.slice(0, -1)) : new Map([["", status.slots]]);
  $("slots").replaceChildren(...[...rows.values()].map((row) => node("div", { className: "tray" }, ...row.map(slotCard))));
  const off = Boolean(status.out_of_service);
  $("notice").hidden = off;
  document.querySelector("#service label").hidden = off;
  document.querySelector("#service button").textContent = off ? words.switch_on : words.switch_off;
  const facts = [["WeChat Pay", `${status.wechat.host} ${clock(status.wechat.last_answer_at)} ${status.wechat.last_error && status.wechat.failures ? status.wechat.last_error : ""}`],
    ["kiosk", `${status.id} ${status.version}`],
    ...status.dispenser.facts.map((fact) => [fact.name.replaceAll("_", " "), `${fact.value} ${fact.unit}`])];
  $("machine").replaceChildren(...facts.flatMap(([term, value]) => [node("dt", { textContent: term }), node("dd", { textContent: value })]));
  showScreen();
}

const clock = (text) => (text ? new Date(text).toLocaleTimeString([], { hour12: false }) : "–");

function orderLine(order) {
  const story = node("ol");
  const summary = node("summary", {},
    node("span", { className: `chip ${order.state}`, textContent: words.order_states[order.state] }),
    ` ${clock(order.created_at)} ${status ? name(order.product_id) : order.product_name} ${yuan(order.amount)} …${order.claim_code}`);
  const line = node("details", { id: `order-${order.out_trade_no}` }, summary, node("p", { textContent: `${order.out_trade_no} ${order.transaction_id || ""} ${order.reason || ""}` }), story);
  if (["paid", "dispensed", "in_doubt", "refund_failed"].includes(order.state)) {
    line.append(button("refund", async () => (await ask(say(words.ask_refund, { amount: yuan(order.paid || order.amount), claim: order.claim_code }), words.refund))
      && post(`/api/orders/${encodeURIComponent(order.out_trade_no)}/refund`), true));
  }
  line.addEventListener("toggle", async () => {
    if (!line.open) return;
    const told = await (await fetch(`/api/orders/${encodeURIComponent(order.out_trade_no)}`)).json();
    const language = words === WORDS.en ? "en" : "zh_CN";
    story.replaceChildren(...told.events.map((event) => node("li", { textContent: `${clock(event.at)} ${event.text[language]}` })));
  });
  return line;
}

function showOrders() {
  const wanted = orders.filter((order) => !["created", "awaiting_payment", "closed"].includes(order.state));
  $("orders").replaceChildren(...(wanted.length ? wanted.map(orderLine) : [node("p", { textContent: words.no_orders })]));
}

function takeOrder(order) {
  const at = orders.findIndex((each) => each.out_trade_no === order.out_trade_no);
  if (at >= 0) orders[at] = order; else orders.unshift(order);
  showOrders();
}

async function moreOrders() {
  const before = orders.length ? `&before=${encodeURIComponent(orders.at(-1).out_trade_no)}` : "";
  const told = await (await fetch(`/api/orders?limit=50${before}`)).json();
  const known = new Set(orders.map((order) => order.out_trade_no));
  orders.push(...told.orders.filter((order) => !known.has(order.out_trade_no)));
  showOrders();
}

let screenBusy = false;
function showScreen() {
  if (screenBusy) return;
  screenBusy = true;
  $("screen").onload = $("screen").onerror = () => { screenBusy = false; };
  $("screen").src = `/screen.png?${Date.now()}`;
}

function connect() {
  const feed = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
  feed.onmessage = ({ data }) => {
    heard = Date.now();
    tries = 0;
    const message = JSON.parse(data);
    if (message.type === "status") { status = message.status; showStatus(); }
    if (message.type === "order") takeOrder(message.order);
  };
  feed.onclose = () => setTimeout(async () => {
    const answer = await fetch("/api/status").catch(() => null);
    if (answer && answer.status === 401) location = "/login"; else connect();
  }, RECONNECT_MS[Math.min(tries++, RECONNECT_MS.length - 1)]);
}

function showWords() {
  document.documentElement.lang = words === WORDS.en ? "en" : "zh-CN";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = words[each.dataset.word];
  $("language").textContent = words.other;
  $("screen").alt = words.screen;
  if (status) showStatus();
  showOrders();
}

$("language").onclick = () => {
  words = words === WORDS.en ? WORDS["zh-CN"] : WORDS.en;
  localStorage.language = words === WORDS.en ? "en" : "zh-CN";
  showWords();
};
$("service").onsubmit = async (event) => {
  event.preventDefault();
  const off = Boolean(status.out_of_service);
  if (off || $("notice").value.trim()) await post("/api/out-of-service", { text: off ? "" : $("notice").value });
  else $("notice").focus();
};
$("more").onclick = moreOrders;
setInterval(() => {
  const age = Date.now() - heard;
  $("age").textContent = heard ? say(words.ago, { n: Math.round(age / 1000) }) : "";
  $("stale").hidden = !heard || age < STALE_MS;
  $("stale").textContent = words.stale;
}, 500);
showWords();
moreOrders().then(connect);
