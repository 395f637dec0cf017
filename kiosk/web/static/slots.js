// The slots as they stand in the machine; a touch on one opens what can be done with it.
import { ask, change, reason, say, tryChange } from "./talk.js";
import { $, bar, chip, first, keep, node, w, yuan } from "./tools.js";

let status = null;
let open = null; // the id of the slot in the sheet
let seen = 0; // its stock when the sheet was filled in: a count is booked only on what was counted

const slotOf = (id) => status.slots.find((slot) => slot.id === id);
const path = (id, act) => `/api/slots/${encodeURIComponent(id)}/${act}`;
const stateOf = (slot) => (status.vending === slot.id ? "vending" : slot.state);

export function productName(id, otherwise = id) {
  const product = status.products.find((each) => each.id === id);
  return product ? (first.language === "en" ? product.name_en : product.name) : otherwise;
}
const price = (id) => yuan(status.products.find((each) => each.id === id)?.price ?? 0);

// What can be done ------------------------------------------------------------------------------------------------

export async function fill(id) {
  const slot = slotOf(id);
  await change(path(id, "restock"), { stock: slot.capacity, seen: slot.stock }, (value) => w("restocked", { slot: id, stock: value.slot.stock }));
}

export async function freeSlot(id) {
  if (await ask(w("ask_free", { slot: id }), w("free"))) await change(path(id, "enable"), {}, () => w("enabled", { slot: id }));
}

export async function testVend(id) {
  if (!(await ask(w("ask_test", { slot: id }), w("test")))) return;
  let outcome = "delivered";
  const value = await change(path(id, "test-vend"), {}, (told) => {
    outcome = told.outcome;
    return w(`tested.${outcome}`, { slot: id, detail: told.detail });
  }, w("turning", { slot: id }));
  if (value && outcome !== "delivered") say(w(`tested.${outcome}`, { slot: id, detail: value.detail }), "bad");
}

export async function fillAll() {
  const short = status.slots.filter((slot) => slot.stock < slot.capacity);
  if (short.length === 0) { say(w("all_full")); return; }
  const units = short.reduce((sum, slot) => sum + slot.capacity - slot.stock, 0);
  const shown = Object.fromEntries(status.slots.map((slot) => [slot.id, slot.stock]));
  if (await ask(w("ask_fill_all", { units, slots: short.length }), w("fill_all"))) {
    await change("/api/slots/fill", { seen: shown }, () => w("filled_all"));
  }
}
$("fill-all").onclick = fillAll;

// The sheet -------------------------------------------------------------------------------------------------------

function openSheet(id) {
  const slot = slotOf(id);
  open = id;
  seen = slot.stock;
  $("sheet-title").textContent = `${w("slot", { slot: id })} · ${productName(slot.product)} · ${price(slot.product)}`;
  $("stock-label").textContent = w("count", slot);
  $("full").textContent = w("full", slot);
  $("stock").value = slot.stock;
  $("sheet-said").textContent = "";
  showSheet();
  $("sheet").showModal();
  $("stock").focus();
  $("stock").select(); // what is typed takes its place
}

function showSheet() {
  const slot = slotOf(open);
  if (!slot) { $("sheet").close(); return; }
  $("sheet-state").replaceChildren(chip("slot_state", stateOf(slot)), node("span", { textContent: w("of", slot) }));
  $("sheet-fault").textContent = slot.fault ?? "";
  $("free").hidden = slot.state !== "jammed";
  $("switch-slot").textContent = w(slot.state === "disabled" ? "enable" : "disable");
}

const step = (by) => { $("stock").value = Math.min(Math.max(0, (Number($("stock").value) || 0) + by), slotOf(open).capacity); };
$("fewer").onclick = () => step(-1);
$("more").onclick = () => step(1);
$("full").onclick = () => { $("stock").value = slotOf(open).capacity; };
$("stock-form").onsubmit = async (event) => {
  event.preventDefault();
  const typed = $("stock").value.trim();
  const answer = await tryChange(path(open, "restock"), { stock: /^-?\d+$/.test(typed) ? Number(typed) : typed, seen });
  if (answer.ok) {
    $("sheet").close();
    say(w("restocked", { slot: answer.value.slot.id, stock: answer.value.slot.stock }));
    return;
  }
  $("sheet-said").textContent = reason(answer);
  seen = slotOf(open).stock; // the next count is on what the sheet says now
};
$("switch-slot").onclick = async () => {
  const id = open, act = slotOf(id).state === "disabled" ? "enable" : "disable";
  $("sheet").close();
  await change(path(id, act), {}, () => w(`${act}d`, { slot: id }));
};
$("free").onclick = () => { $("sheet").close(); freeSlot(open); };
$("test").onclick = () => { $("sheet").close(); testVend(open); };

// The trays -------------------------------------------------------------------------------------------------------

// All but the last character of a slot's id names its tray, as on the customer's screen.
function trays() {
  const rows = new Map();
  const sorted = [...status.slots].sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
  for (const slot of sorted) rows.set(slot.id.slice(0, -1), [...(rows.get(slot.id.slice(0, -1)) ?? []), slot]);
  return [...rows];
}

export function showSlots(told) {
  status = told;
  keep($("trays"), trays(), ([name]) => name,
    ([name]) => node("div", { className: "tray", role: "group", "aria-label": name ? w("tray", { n: name }) : w("slots") }),
    (tray, [, slots]) => keep(tray, slots, (slot) => slot.id,
      (slot) => node("button", { type: "button", id: `slot-${slot.id}`, onclick: () => openSheet(slot.id) }),
      (card, slot) => {
        card.className = `slot ${slot.state}`;
        card.replaceChildren(
          node("b", { textContent: slot.id }),
          node("span", { className: "name", textContent: productName(slot.product) }),
          node("span", { className: "price", textContent: price(slot.product) }),
          bar(slot.stock / slot.capacity),
          node("span", { textContent: w("of", slot) }),
          chip("slot_state", stateOf(slot)),
        );
      }));
  if ($("sheet").open) showSheet();
}
