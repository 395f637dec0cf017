// The phone, the machine and the faults. One state comes from the server; what the phone shows is kept here.
"use strict";

const RETRY_MS = 1000;      // between tries to reach a demo that does not answer
const BANNER_MS = 9000;     // how long a message stays on the phone
const HINT_MS = 2500;       // how long a remark replaces the usual hint
const VEND_MS = 4000;       // longest turn of a motor that is drawn

const $ = (id) => document.getElementById(id);
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let about = { goods: [], technician: { url: "", password: "" } };
let state = { revision: -1, picture: 0, power: "on", tray: [], diary: [], faults: {} };
let seenLines = null;       // the last line of the diary that the phone has seen
let shownPicture = -1;
let cashier = null;
let hintTimer = 0;

function say(word, values = {}) {
  return fill(WORDS[language][word], values);
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function goodName(id) {
  const good = about.goods.find((each) => each.id === id);
  return good ? good[language] : id;
}

const told = (text) => (language === "en" && TOLD[text]) || text;
const yuan = (fen) => (fen / 100).toFixed(2);

async function post(path, values) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// The phone ------------------------------------------------------------------------------------------------

function show(view) {
  for (const each of ["camera", "cashier", "result", "shop-view", "order-view"]) $(each).hidden = each !== view;
}

function hint(word) {
  clearTimeout(hintTimer);
  $("hint").textContent = say(word);
  if (word !== "hint") hintTimer = setTimeout(() => hint("hint"), HINT_MS);
}

function forgetMarks() {
  document.querySelectorAll(".found").forEach((mark) => mark.remove());
}

async function scanAt(x, y) {
  forgetMarks();
  hint("reading");
  const answer = await post("/scan", { x, y });
  if (answer.cashier) openCashier(answer.cashier);
  else if (answer.told) showResult(false, told(answer.told.text));
  else hint("noCode");
}

// Into the phone's picture of the machine's screen, or on the machine itself, as a newcomer may.
function tapped(event) {
  if ($("camera").hidden && $("result").hidden) return; // the phone is busy with an order
  show("camera");
  const view = event.currentTarget;
  const frame = view.getBoundingClientRect();
  const box = view.querySelector("img").getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width;
  const y = (event.clientY - box.top) / box.height;
  const ripple = document.createElement("span");
  ripple.className = "ripple";
  ripple.style.left = `${event.clientX - frame.left}px`;
  ripple.style.top = `${event.clientY - frame.top}px`;
  view.append(ripple);
  ripple.addEventListener("animationend", () => ripple.remove());
  if (x >= 0 && x <= 1 && y >= 0 && y <= 1) scanAt(x, y);
}

async function findCodes() {
  forgetMarks();
  const { codes } = await (await fetch("/codes")).json();
  if (!codes.length) return hint("noCodes");
  if (codes.length === 1) return scanAt((codes[0].left + codes[0].right) / 2, (codes[0].top + codes[0].bottom) / 2);
  hint("choose");
  codes.forEach((code, index) => {
    const mark = document.createElement("button");
    mark.type = "button";
    mark.className = "found";
    mark.setAttribute("aria-label", say("codeNumber", { n: index + 1 }));
    mark.style.left = `${code.left * 100}%`;
    mark.style.top = `${code.top * 100}%`;
    mark.style.width = `${(code.right - code.left) * 100}%`;
    mark.style.height = `${(code.bottom - code.top) * 100}%`;
    mark.addEventListener("click", (event) => {
      event.stopPropagation();
      scanAt((code.left + code.right) / 2, (code.top + code.bottom) / 2);
    });
    $("finder").append(mark);
  });
}

function openCashier(opened) {
  cashier = opened;
  $("shop").textContent = opened.shop;
  $("amount").textContent = `¥${yuan(opened.amount_fen)}`;
  const good = about.goods.find((each) => each.zh === opened.goods);
  $("goods").textContent = good && language === "en" ? `${good.en} ${good.zh}` : opened.goods; // the machine names it in its own language
  $("number").textContent = opened.out_trade_no;
  $("pay").textContent = say("pay", { amount: yuan(opened.amount_fen) });
  $("pay").disabled = false;
  hint("hint");
  show("cashier");
  $("pay").focus({ preventScroll: true });
}

async function pay() {
  $("pay").disabled = true;
  $("pay").textContent = say("paying");
  if (cashier.member) return payInMiniprogram();
  const answer = await post("/pay", { out_trade_no: cashier.out_trade_no });
  if (answer.paid) showResult(true, say("paidText"), `¥${yuan(cashier.amount_fen)}`);
  else showResult(false, told(answer.told.text));
}

function cancel() {
  post("/cancel", { out_trade_no: cashier.out_trade_no });
  if (cashier.member) openShop();
  else show("camera");
}

function showResult(good, text, amount = "") {
  $("result").classList.toggle("bad", !good);
  $("verdict").textContent = say(good ? "paid" : "notPossible");
  $("result-amount").textContent = amount;
  $("result-text").textContent = text;
  show("result");
  if (good) $("cabinet").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function ring(text) {
  const banner = $("banner");
  banner.textContent = text;
  banner.hidden = false;
  clearTimeout(banner.timer);
  banner.timer = setTimeout(() => { banner.hidden = true; }, BANNER_MS);
}

// The machine ----------------------------------------------------------------------------------------------

function renderPicture() {
  const dark = state.power !== "on" || !state.picture;
  $("cabinet").classList.toggle("dead", dark);
  $("dark").hidden = !dark;
  $("seen").hidden = $("screen").hidden = dark;
  $("lamp").textContent = state.power === "off" ? say("off") : state.power === "crashed" ? say("crashed") : "";
  $("lamp").title = state.last_words || "";
  const wanted = dark ? 0 : state.picture;
  if (wanted === shownPicture) return;
  shownPicture = wanted;
  forgetMarks();
  if (dark) return;
  const next = new Image();
  next.addEventListener("load", () => {
    if (shownPicture === wanted) $("seen").src = $("screen").src = next.src;
  });
  next.src = `/screen.png?v=${wanted}`;
}

function renderTray() {
  const chute = $("chute");
  const lying = new Set(state.tray.map((item) => String(item.id)));
  for (const item of [...chute.children]) if (!lying.has(item.dataset.id)) item.remove();
  for (const item of state.tray) {
    if (chute.querySelector(`[data-id="${item.id}"]`)) continue;
    const good = document.createElement("span");
    good.className = "good";
    good.dataset.id = item.id;
    good.dataset.product = item.product;
    good.style.setProperty("--tilt", `${(item.id * 47) % 50 - 25}deg`);
    good.append(drawGood(item.product));
    chute.append(good);
  }
  $("flap").textContent = say(state.tray.length ? "take" : "tray");
  $("tray").disabled = !state.tray.length;
  const turning = state.diary.findLast((line) => ["vend", "drop", "board_reboot", "power_cut"].includes(line.kind));
  const left = turning && turning.kind === "vend" ? turning.at * 1000 + VEND_MS - Date.now() : 0;
  $("cabinet").classList.toggle("turning", left > 0);
  if (left > 0) setTimeout(renderTray, left);
}

// Faults and diary -----------------------------------------------------------------------------------------

function renderFaults() {
  const drawer = $("faults");
  if (!drawer.children.length) {
    for (const name of Object.keys(FAULTS)) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.fault = name;
      button.append(document.createElement("b"), document.createElement("i"), document.createElement("span"));
      button.addEventListener("click", () => {
        if (name === "power") post("/power", {});
        else post("/fault", { name, on: !state.faults[name] });
      });
      drawer.append(button);
    }
  }
  for (const button of drawer.children) {
    const name = button.dataset.fault;
    const [title, consequence] = FAULTS[name][language];
    const on = Boolean(state.faults[name]) || (name === "power" && state.power === "off");
    const once = ["jam", "reboot", "lost"].includes(name);
    button.querySelector("b").textContent = title;
    button.querySelector("i").textContent = on && name !== "power" ? say(once ? "armed" : "on") : "";
    button.querySelector("span").textContent = consequence;
    button.setAttribute("aria-pressed", String(on));
    button.disabled = on && (once || name === "power");
  }
}

function sentence(line) {
  const data = line.data;
  const [who, en, zh] = DIARY[line.kind === "vend" && data.jams ? "jam" : line.kind];
  const values = { ...data, what: told(data.what), goods: goodName(data.product), yuan: `¥${yuan(data.fen || 0)}` };
  if (data.fault) values.fault = FAULTS[data.fault][language][0];
  return [who, fill(language === "zh" ? zh : en, values)];
}

function renderDiary() {
  const list = $("diary");
  list.replaceChildren();
  for (const line of state.diary.toReversed()) {
    const [who, text] = sentence(line);
    const item = document.createElement("li");
    item.className = `by-${who}`;
    const time = document.createElement("time");
    time.textContent = new Date(line.at * 1000).toLocaleTimeString("en-GB");
    item.append(time, text);
    list.append(item);
  }
  if (state.revision < 0) return;  // nothing has come from the server yet
  const last = state.diary.length ? state.diary.at(-1).id : 0;
  if (seenLines !== null) {
    for (const line of state.diary) {
      if (line.id > seenLines && line.kind === "refund_ended" && line.data.status === "SUCCESS") {
        ring(say("refunded", { amount: yuan(line.data.fen) }));
      }
    }
  }
  seenLines = last;
}

// All of it ------------------------------------------------------------------------------------------------

function render() {
  renderPicture();
  renderTray();
  renderFaults();
  renderDiary();
}

function speak() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  $("language").textContent = say("other");
  $("technician").textContent = say("technician");
  $("technician").href = about.technician.url;
  $("password").textContent = `${say("password")} ${about.technician.password}`;
  $("seen").alt = say("seenAlt");
  $("screen").alt = say("screenAlt");
  hint("hint");
  $("chute").replaceChildren();
  render();
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`/state?after=${state.revision}`);
      if (!answer.ok) throw new Error(String(answer.status));
      state = await answer.json();
      $("lost").hidden = true;
      render();
    } catch {
      $("lost").hidden = false;
      state.revision = -1;
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    }
  }
}

function tick() {
  $("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

async function begin() {
  $("finder").addEventListener("click", tapped);
  $("face").addEventListener("click", tapped);
  $("find").addEventListener("click", findCodes);
  $("pay").addEventListener("click", pay);
  $("cancel").addEventListener("click", cancel);
  $("shop-open").addEventListener("click", openShop);
  $("shop-close").addEventListener("click", () => show("camera"));
  $("order-done").addEventListener("click", openShop);
  $("done").addEventListener("click", () => show("camera"));
  $("tray").addEventListener("click", () => post("/take", {}));
  $("banner").addEventListener("click", () => { $("banner").hidden = true; });
  $("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    localStorage.setItem("language", language);
    speak();
  });
  tick();
  setInterval(tick, 5000);
  about = await (await fetch("/about")).json();
  speak();
  follow();
}

begin();
