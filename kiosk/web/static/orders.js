// Orders as sentences; each unfolds into its story. Those that wait for a person stand on top.
import { ask, change, get } from "./talk.js";
import { productName } from "./slots.js";
import { $, chip, exact, first, inLanguage, keep, node, timeOf, w, yuan } from "./tools.js";

const REFUNDABLE = new Set(["paid", "dispensed", "in_doubt", "refund_failed"]);
const WAITING = new Set(["in_doubt", "refund_failed"]);
const PAGE = 50;
const TYPING_MS = 300; // after the last key

let orders = first.orders, unsettled = first.unsettled;
let complete = orders.length === 0; // whether the machine has no older ones for these filters
let asked = 0; // the last question: an answer to an earlier one comes too late

// One order -------------------------------------------------------------------------------------------------------

async function refund(order) {
  const values = { amount: yuan(order.paid ?? order.amount), claim: order.claim_code };
  const question = order.state === "dispensed" ? "ask_refund_dispensed" : "ask_refund";
  if (await ask(w(question, values), w("refund", values))) {
    await change(`/api/orders/${encodeURIComponent(order.out_trade_no)}/refund`, {}, () => w("refund_asked", values));
  }
}

async function tell(line, byItself = false) {
  const story = line.querySelector(".story");
  const answer = await get(`/api/orders/${encodeURIComponent(line.order.out_trade_no)}`, byItself);
  if (!answer.ok) return;
  story.replaceChildren(...answer.value.events.map((event) => node("li", {},
    node("time", { dateTime: event.at, textContent: exact(event.at), "data-fixed": "" }), inLanguage(event.text, event.kind))));
}

function makeLine() {
  const line = node("li", {}, node("details", {}, node("summary"),
    node("div", { className: "inside" }, node("dl"), node("ol", { className: "story" }), node("div", { className: "buttons" }))));
  line.firstChild.addEventListener("toggle", () => { if (line.firstChild.open) tell(line); });
  return line;
}

function updateLine(line, order) {
  if (line.order === order) return;
  const stateChanged = line.order?.state !== order.state;
  line.order = order;
  line.className = order.state;
  const values = { product: productName(order.product_id, order.product_name), amount: yuan(order.paid ?? order.amount), slot: order.slot };
  line.querySelector("summary").replaceChildren(
    node("span", { textContent: w(order.slot ? "order_line" : "order_line_no_slot", values) }),
    node("span", { className: "small" }, timeOf(order.paid_at ?? order.created_at), ` · ${w("ending", { claim: order.claim_code })}`),
    chip("order_state", order.state));
  const facts = [["number", order.out_trade_no], ["transaction", order.transaction_id], ["reason", order.reason]];
  line.querySelector("dl").replaceChildren(...facts.filter(([, value]) => value).flatMap(([word, value]) =>
    [node("dt", { textContent: w(word) }), node("dd", { textContent: value })]));
  if (!stateChanged) return;
  line.querySelector(".buttons").replaceChildren(...(REFUNDABLE.has(order.state)
    ? [node("button", { type: "button", textContent: w("refund", values), onclick: () => refund(line.order) })] : []));
  if (line.firstChild.open) tell(line, true);
}

const showLines = (list, these) => keep(list, these, (order) => order.out_trade_no, makeLine, updateLine);

// The list --------------------------------------------------------------------------------------------------------

function filters() {
  const form = $("filters"), of = (name) => form.elements[name].value.trim();
  return { state: of("state"), product: of("product"), day: of("day"), search: of("search") };
}

function query({ state, product, day, search }) {
  const wanted = new URLSearchParams();
  for (const each of state === "sales" ? first.sales_states : [state]) if (each) wanted.append("state", each);
  for (const [name, value] of Object.entries({ product, day, search })) if (value) wanted.set(name, value);
  return wanted;
}

function fits(order, { state, product, day, search }) {
  return (state === "sales" ? first.sales_states.includes(order.state) : !state || order.state === state)
    && (!product || order.product_id === product)
    && (!day || order.created_at.slice(0, 10) === day)
    && (!search || [order.out_trade_no, order.transaction_id].includes(search) || order.claim_code === search.toUpperCase());
}

export function showOrders() {
  const wanted = filters();
  const narrowed = wanted.state !== "sales" || wanted.product || wanted.day || wanted.search;
  showLines($("order-lines"), orders);
  $("no-orders").hidden = orders.length > 0 || !complete;
  $("no-orders").textContent = w(narrowed ? "no_such_orders" : "no_orders");
  $("older").hidden = complete;
  $("filters").querySelector("[type=reset]").hidden = !narrowed;
  $("csv").href = `/api/orders.csv?${query(wanted)}`;
  $("unsettled").hidden = unsettled.length === 0;
  showLines($("unsettled").querySelector("ul"), unsettled);
}

async function load(byItself = false) {
  const question = asked += 1, wanted = query(filters());
  wanted.set("limit", PAGE);
  const answer = await get(`/api/orders?${wanted}`, byItself);
  if (question !== asked || !answer.ok) return;
  orders = answer.value.orders;
  complete = orders.length < PAGE;
  showOrders();
}

$("older").onclick = async () => {
  const question = asked += 1, wanted = query(filters());
  wanted.set("limit", PAGE);
  wanted.set("before", orders.at(-1).out_trade_no);
  const answer = await get(`/api/orders?${wanted}`);
  if (question !== asked || !answer.ok) return;
  const known = new Set(orders.map((order) => order.out_trade_no));
  orders = [...orders, ...answer.value.orders.filter((order) => !known.has(order.out_trade_no))];
  complete = answer.value.orders.length < PAGE;
  showOrders();
};

let typing = 0;
$("filters").oninput = ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(load, target.name === "search" ? TYPING_MS : 0);
};
$("filters").onreset = () => setTimeout(load);
$("filters").onsubmit = (event) => { event.preventDefault(); load(); };

export function showProducts(status) {
  keep($("filters").elements.product, [{ id: "" }, ...status.products], (product) => product.id || "all",
    (product) => node("option", { value: product.id }),
    (option, product) => { option.textContent = product.id ? productName(product.id) : w("all_products"); });
}

// Live ------------------------------------------------------------------------------------------------------------

export async function loadUnsettled() {
  const answer = await get("/api/orders?unsettled=1", true);
  if (!answer.ok) return;
  unsettled = answer.value.orders;
  showOrders();
}

export function takeOrder(order) {
  const at = orders.findIndex((each) => each.out_trade_no === order.out_trade_no);
  const fitting = fits(order, filters());
  if (at >= 0) orders = fitting ? orders.map((each, n) => (n === at ? order : each)) : orders.filter((_, n) => n !== at);
  else if (fitting) {
    const before = orders.findIndex((each) => each.created_at <= order.created_at);
    orders = before < 0 ? (complete ? [...orders, order] : orders) : [...orders.slice(0, before), order, ...orders.slice(before)];
  }
  const listed = unsettled.some((each) => each.out_trade_no === order.out_trade_no);
  if (listed || WAITING.has(order.state)) loadUnsettled(); else showOrders();
}

export const loadAgain = () => load(true);
