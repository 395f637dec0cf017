// One glance: does it sell, what is wrong, what to do about it, how old is what is shown, what do customers see.
import { fill, fillAll, freeSlot, productName, testVend } from "./slots.js";
import { $, clock, first, inLanguage, keep, node, timeOf, w } from "./tools.js";

const GLANCE_PIXELS = 544; // sharp on a phone's screen, small on its radio

const SOLD_OUT = "sold_out_", EMPTY = "empty"; // codes: of one product, of several
const MOST_NAMES = 6;

// Where to look for what a problem is about, by the beginning of its code.
const PLACES = {
  dispenser: ["look_board", "board"], wechat: ["look_wechat", "wechat"], clock: ["look_wechat", "wechat"],
  certificate: ["look_wechat", "wechat"], journal: ["look_computer", "computer"], disk: ["look_computer", "computer"],
  refund_failed: ["look_orders", "orders"], in_doubt: ["look_orders", "orders"], unsettled: ["look_orders", "orders"],
};

const button = (word, act, main = false) => node("button", { type: "button", className: main ? "main" : "", textContent: w(word), onclick: act });

function go(id) {
  const place = $(id);
  place.tabIndex = -1;
  place.scrollIntoView({ block: "start" });
  place.focus({ preventScroll: true });
}

// What stands in the list: an empty machine is one thing to do, not fifty.
function gathered(problems) {
  const empty = problems.filter((problem) => problem.code.startsWith(SOLD_OUT));
  if (empty.length < 2) return problems;
  const names = empty.slice(0, MOST_NAMES).map((problem) => productName(problem.code.slice(SOLD_OUT.length))).join(w("comma"));
  const rest = empty.length - MOST_NAMES;
  const text = w(rest > 0 ? "sold_out_more" : "sold_out_many", { n: empty.length, names, rest });
  const all = { code: EMPTY, text: { [first.language]: text }, advice: empty[0].advice, since: empty[0].since, blocking: false };
  return [...problems.filter((problem) => !empty.includes(problem)), all];
}

// The buttons that do what the advice says.
function buttons(problem, status, service) {
  const slotOf = (beginning) => status.slots.find((slot) => problem.code === beginning + slot.id);
  const jammed = slotOf("slot_");
  if (jammed) {
    return [button("test", () => testVend(jammed.id)), button("free", () => freeSlot(jammed.id), true)];
  }
  if (problem.code === EMPTY) return [button("look_slots", () => go("slots")), button("fill_all", fillAll)];
  if (problem.code.startsWith(SOLD_OUT)) {
    return status.slots.filter((slot) => problem.code === SOLD_OUT + slot.product).map((slot) => node("button", {
      type: "button", textContent: w("fill_slot", { slot: slot.id }), onclick: () => fill(slot.id),
    }));
  }
  if (problem.code === "switched_off") return [button("switch_on", service.switchOn, true)];
  if (problem.code === "screen") return [button("pattern", service.pattern)];
  const place = Object.entries(PLACES).find(([code]) => problem.code.startsWith(code));
  return place ? [button(place[1][0], () => go(place[1][1]))] : [];
}

export function showGlance(status, service) {
  const selling = status.products.filter((product) => product.available > 0).length;
  $("band").className = status.health;
  const all = status.products.length;
  const word = status.health === "degraded" && selling === all ? "ok" : status.health; // one slot of two is jammed
  $("headline").textContent = w(`health.${word}`, { n: selling, all });
  const problems = gathered(status.problems), count = problems.length;
  const needs = count === 0 ? w("no_problems") : w(count === 1 ? "one_problem" : "many_problems", { n: count });
  $("summary").textContent = status.vending ? w("vending", { slot: status.vending }) : needs;
  keep($("problems"), problems, (problem) => problem.code,
    () => node("li", {},
      node("p"), node("p", { className: "advice quiet" }), node("p", { className: "quiet" }), node("div", { className: "buttons" })),
    (line, problem) => {
      const [sentence, advice, since, acts] = line.children;
      line.className = problem.blocking ? "blocking" : "";
      const text = inLanguage(problem.text, problem.message);
      if (sentence.textContent !== text) sentence.textContent = text;
      advice.textContent = inLanguage(problem.advice);
      if (!since.hasChildNodes()) since.append(w("since", { time: clock(problem.since).slice(0, 5) }), timeOf(problem.since));
      if (!acts.hasChildNodes()) acts.append(...buttons(problem, status, service));
    });
}

// The customer's screen -------------------------------------------------------------------------------------------

let loading = false, again = false;
// `anew`: whatever is still under way has been lost with the connection.
export function showPicture(anew = false) {
  if ((loading && !anew) || document.hidden) { again = true; return; }
  loading = true;
  again = false;
  $("screen").src = `/screen.png?width=${GLANCE_PIXELS}&${Date.now()}`;
  if ($("big").open) showBig();
}
$("screen").onload = $("screen").onerror = () => {
  loading = false;
  if (again) showPicture();
};
document.addEventListener("visibilitychange", () => { if (again) showPicture(); });

function showBig() { $("big-screen").src = `/screen.png?${Date.now()}`; }
$("screen-open").onclick = () => {
  showBig();
  $("big").showModal();
};

