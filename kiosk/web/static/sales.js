// What was sold: a bar for each of the last days, and what one day adds up to.
import { ask, change, get } from "./talk.js";
import { productName } from "./slots.js";
import { $, bar, exact, node, now, w, yuan } from "./tools.js";

const QUIET_MS = 500; // after a burst of sales the sums are asked for once
let days = [], chosen = null, waiting = 0;

const count = (n) => w(n === 1 ? "one_unit" : "many_units", { n });

function showBars() {
  const most = Math.max(1, ...days.map((day) => day.sold.amount));
  $("bars").replaceChildren(...days.map((day) => node("button", {
    type: "button", "aria-pressed": String(day.date === chosen), onclick: () => choose(day.date),
    "aria-label": w("bar", { day: day.date, count: day.sold.count, amount: yuan(day.sold.amount) }),
    title: w("bar", { day: day.date, count: day.sold.count, amount: yuan(day.sold.amount) }),
  }, bar(day.sold.amount / most, true), node("small", { textContent: day.date.slice(8) }))));
  const today = days.at(-1);
  $("today").textContent = w("today_line", { count: today.sold.count, amount: yuan(today.sold.amount) });
}

async function showDay(byItself = false) {
  const wanted = chosen;
  const answer = await get(`/api/days/${wanted}`, byItself);
  if (!answer.ok || wanted !== chosen) return;
  const { day, closed } = answer.value;
  const sums = [["sold", yuan(day.sold.amount), count(day.sold.count)], ["refunded", yuan(day.refunded.amount), count(day.refunded.count)],
    ["net", yuan(day.net), ""], ["test_vends", String(day.test_vends), ""]];
  const products = Object.entries(day.products).sort(([, a], [, b]) => b.amount - a.amount);
  const most = Math.max(1, ...products.map(([, sum]) => sum.amount));
  $("day").replaceChildren(
    node("h3", { textContent: wanted === today() ? `${w("today")}, ${wanted}` : wanted }),
    node("dl", { className: "sums" }, ...sums.map(([word, text, small]) => node("div", {},
      node("dt", { textContent: w(word) }), node("dd", {}, text, small && node("small", { textContent: small }))))),
    products.length === 0 ? node("p", { className: "quiet", textContent: w("nothing_sold") })
      : node("ul", { className: "shares" }, ...products.map(([id, sum]) => node("li", {},
        node("span", { textContent: productName(id) }), bar(sum.amount / most),
        node("span", { className: "number", textContent: count(sum.count) }), node("span", { className: "number", textContent: yuan(sum.amount) })))),
    close(day, closed));
}

const today = () => exact(now()).slice(0, 10);

function close(day, closed) {
  if (closed) {
    return node("p", { className: "quiet", textContent: w("day_closed", { number: closed.number, who: closed.who, time: exact(closed.at) }) });
  }
  if (day.date >= today()) return node("p", { className: "quiet", textContent: w("day_open") });
  return node("div", {}, node("button", { type: "button", textContent: w("close_day"), onclick: async () => {
    const values = { day: day.date, count: day.sold.count, net: yuan(day.net) };
    if (!(await ask(w("ask_close_day", values), w("close_day")))) return;
    await change(`/api/days/${day.date}/close`, {}, (value) => w("day_closed", { ...value.closed, time: exact(value.closed.at) }));
    showDay();
  } }));
}

function choose(date) {
  chosen = date;
  showBars();
  $("bars").querySelector("[aria-pressed=true]")?.focus();
  showDay();
}

export async function loadSales() {
  const answer = await get("/api/sales", true);
  if (!answer.ok) return;
  const newest = days.at(-1)?.date;
  days = answer.value.days;
  if (chosen === null || chosen === newest) chosen = days.at(-1).date;
  showBars();
  showDay(true);
}

export function salesMayHaveChanged() {
  clearTimeout(waiting);
  waiting = setTimeout(loadSales, QUIET_MS);
}
