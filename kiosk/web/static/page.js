// The technician's page: shows what came with it at once, then keeps up with the machine's live feed.
import { showGlance, showPicture } from "./glance.js";
import { changesMayHaveChanged } from "./log.js";
import { loadMachine, service, showMachine } from "./machine.js";
import { loadAgain, loadUnsettled, showOrders, showProducts, takeOrder } from "./orders.js";
import { loadSales, salesMayHaveChanged } from "./sales.js";
import { showSlots } from "./slots.js";
import { $, first, setClock, w } from "./tools.js";

const STALE_MS = 4500; // the feed is heard every two seconds; the page owns up within five
const CHECK_MS = 250;
const SILENT_MS = 6000; // a feed that says nothing for so long is dropped: a phone that roams hears of no close
const RECONNECT_MS = [250, 500, 1000, 2000];
const NOT_LOGGED_IN = 4401;
const A_YEAR_SECONDS = 365 * 24 * 3600;

let heard = Date.now(), begun = Date.now(), tries = 0, feed = null, wasOpen = false;

function showStatus(status) {
  setClock(status.at);
  showSlots(status); // first: the others ask it for names
  showGlance(status, service);
  showMachine(status);
  showProducts(status);
}

function connect() {
  const mine = feed = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
  begun = Date.now();
  mine.onopen = () => {
    loadAgain(); // what happened since the lists were made
    loadUnsettled();
    if (wasOpen) { loadSales(); showPicture(true); }
    wasOpen = true;
  };
  mine.onmessage = ({ data }) => {
    if (mine !== feed) return;
    heard = Date.now();
    tries = 0;
    const message = JSON.parse(data);
    if (message.type === "status") { showStatus(message.status); changesMayHaveChanged(); }
    if (message.type === "order") { takeOrder(message.order); salesMayHaveChanged(); }
    if (message.type === "picture") showPicture();
  };
  mine.onclose = ({ code }) => lost(mine, code);
}

function lost(mine, code) {
  if (mine !== feed) return;
  feed = null;
  if (code === NOT_LOGGED_IN) { location = "/login"; return; }
  setTimeout(async () => {
    const patience = AbortSignal.timeout?.(SILENT_MS); // older browsers have their own, which is longer
    const answer = await fetch("/api/status", { headers: { "X-By-Itself": "1" }, signal: patience }).catch(() => null);
    if (answer?.status === 401) location = "/login"; else connect();
  }, RECONNECT_MS[Math.min(tries++, RECONNECT_MS.length - 1)]);
}

function showAge() {
  const age = Date.now() - heard;
  $("age").textContent = w("updated", { n: Math.round(age / 1000) });
  $("stale").hidden = age < STALE_MS;
  document.body.classList.toggle("stale", age >= STALE_MS);
  if (feed && Date.now() - Math.max(heard, begun) > SILENT_MS) {
    const silent = feed;
    lost(silent, 0);
    silent.close();
  }
}
setInterval(showAge, CHECK_MS);

$("language").onclick = () => {
  const other = first.language === "en" ? "zh_CN" : "en";
  document.cookie = `kiosk_language=${other}; path=/; max-age=${A_YEAR_SECONDS}; samesite=strict`;
  location.reload();
};

showAge();
showStatus(first.status);
showOrders();
showPicture();
loadSales();
loadMachine();
connect();
