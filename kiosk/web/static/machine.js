// The machine itself: the line to the board, WeChat Pay, the computer; and the switches of its service.
import { ask, change, get } from "./talk.js";
import { $, bytes, clock, exact, hasWord, node, span, timeOf, w } from "./tools.js";

const LOOK_AGAIN_MS = 10000; // what no event tells of: disk, memory, load
let status = null;

function factName(name) {
  const [, cabinet] = /^cabinet_(\d+)_temperature$/.exec(name) ?? [];
  if (cabinet !== undefined) return w("fact.cabinet", { number: cabinet });
  return hasWord(`fact.${name}`) ? w(`fact.${name}`) : name.replaceAll("_", " ");
}
const isHex = ({ value }) => /^([0-9a-f]{2} ){2,}[0-9a-f]{2}$/i.test(value); // a frame: on a line of its own

function factValue({ value, unit }) {
  if (typeof value === "boolean") return w(value ? "yes" : "no");
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return timeOf(value);
  return `${value === "" ? "–" : value}${unit ? ` ${unit}` : ""}`;
}

function showFacts(id, facts) {
  $(id).querySelector("dl").replaceChildren(...facts.flatMap(([name, value, long]) => [
    node("dt", { textContent: name }), node("dd", { className: long ? "long hex" : "" }, value),
  ]));
}

export function showMachine(told) {
  status = told;
  const { dispenser, wechat } = told;
  const facts = dispenser.facts.map((fact) => [factName(fact.name), factValue(fact), isHex(fact)]);
  $("board").querySelector("h3").replaceChildren(w("board"), " ",
    node("span", { className: dispenser.ready ? "chip ok" : "chip jammed", textContent: w(dispenser.ready ? "board_ready" : "board_away") }));
  $("board-reason").textContent = dispenser.reason;
  showFacts("board", facts);
  const offset = wechat.clock_offset;
  showFacts("wechat", [
    [w("host"), wechat.host], [w("answer"), timeOf(wechat.last_answer_at)], [w("failures"), String(wechat.failures)],
    ...(wechat.failures ? [[w("error"), wechat.last_error, true]] : []),
    [w("clock_offset"), offset === null ? "–" : `${offset.toFixed(1)} s`], [w("refunds"), w(wechat.refunds ? "yes" : "no")],
    ...certificate,
  ]);
  $("exchanges").querySelector("tbody").replaceChildren(...[...wechat.exchanges].reverse().map((each) => node("tr", {},
    node("td", { textContent: clock(each.at) }), node("td", { textContent: each.call }), node("td", { textContent: each.number }),
    node("td", { textContent: each.result }), node("td", { textContent: `${each.seconds.toFixed(2)} s` }))));
  showService();
}

let certificate = [];
export async function loadMachine() {
  const answer = await get("/api/machine", true);
  if (!answer.ok) return;
  const it = answer.value;
  const without = status.wechat.refunds ? "–" : w("no_certificate");
  certificate = [[w("certificate_ends"), it.certificate_ends ? exact(it.certificate_ends).slice(0, 10) : without]];
  const ofTotal = ({ free, total }) => w("of_total", { free: bytes(free), total: bytes(total) });
  showFacts("computer", [
    [w("disk"), ofTotal(it.disk)], [w("memory"), ofTotal(it.memory)], [w("process_memory"), bytes(it.memory.process)],
    [w("journal"), bytes(it.journal)], [w("load"), it.load.toFixed(2)],
    [w("uptime"), span(it.uptime.process)], [w("board_uptime"), span(it.uptime.board)],
  ]);
  showFacts("versions", Object.entries(it.versions));
  showMachine(status);
}
setInterval(() => { if (!document.hidden) loadMachine(); }, LOOK_AGAIN_MS);

// Service ---------------------------------------------------------------------------------------------------------

export const service = {
  switchOn: () => change("/api/out-of-service", { text: "" }, () => w("is_on")),
  pattern: async () => {
    if (await ask(w("ask_pattern"), w("pattern"))) await change("/api/screen-test", {}, () => w("pattern_shown"));
  },
};

function showService() {
  const off = Boolean(status.out_of_service);
  $("service-now").textContent = off ? w("is_off", { text: status.out_of_service }) : w("is_on");
  $("notice-label").hidden = off;
  $("notice").disabled = off;
  $("switch").querySelector("button").textContent = w(off ? "switch_on" : "switch_off");
  if (document.activeElement !== $("customer-language")) $("customer-language").value = status.language;
}

$("switch").onsubmit = async (event) => {
  event.preventDefault();
  if (status.out_of_service) { await service.switchOn(); return; }
  const text = $("notice").value.trim();
  if (text && await ask(w("ask_switch_off", { text }), w("switch_off"))) {
    await change("/api/out-of-service", { text }, () => w("is_off", { text }));
  }
};
$("customer-language").onchange = ({ target }) => change("/api/language", { language: target.value }, () => w("done"));
$("pattern").onclick = service.pattern;
