// The mini-program on the phone: goods, order, cashier, and the order's true state until it is settled.
"use strict";

const LOOK_MS = 1000;       // how often an order that can still change is asked for
const SETTLED = ["dispensed", "refunded", "refund_failed", "in_doubt", "closed"];
let ordered = null;         // the order on the phone now
let lookTimer = 0;

const ask = (what, values = {}) => post("/member", { what, language, ...values });

async function openShop() {
  const { products, words } = await ask("products");
  if (!products) return showResult(false, told(words));
  const list = $("goods-list");
  list.replaceChildren();
  for (const product of products) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.product = product.id;
    button.disabled = !product.available;
    const picture = document.createElement("img");
    picture.src = `/goods/${product.id}.png`;
    picture.alt = "";
    const name = document.createElement("span");
    name.textContent = language === "zh" ? product.name : product.name_en;
    const price = document.createElement("b");
    price.textContent = product.available ? `¥${yuan(product.price)}` : say("notNow");
    button.append(picture, name, price);
    button.addEventListener("click", () => orderIn(product.id));
    list.append(button);
  }
  show("shop-view");
}

async function orderIn(product) {
  const { order, words } = await ask("order", { product_id: product });
  if (!order) return showResult(false, told(words));
  ordered = order;
  openCashier({
    out_trade_no: order.out_trade_no, shop: say("miniprogram"), goods: goodName(order.product_id),
    amount_fen: order.amount, member: true,
  });
}

async function payInMiniprogram() {
  const { paid, words } = await ask("pay", { out_trade_no: ordered.out_trade_no });
  if (!paid) return showResult(false, told(words));
  $("order-steps").replaceChildren();
  show("order-view");
  look();
}

async function look() {
  clearTimeout(lookTimer);
  const { order, words } = await ask("look", { out_trade_no: ordered.out_trade_no });
  if (order) ordered = order;
  $("order-state").textContent = order ? say(`state_${order.state}`) : told(words);
  $("order-view").dataset.state = ordered.state;
  $("order-amount").textContent = `¥${yuan(ordered.amount)}`;
  $("order-claim").textContent = say("claim", { claim: ordered.claim_code });
  const steps = $("order-steps");
  steps.replaceChildren();
  for (const step of ordered.history || []) {
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date(step.at).toLocaleTimeString("en-GB");
    item.append(time, say(`state_${step.state}`));
    steps.append(item);
  }
  if (!$("order-view").hidden && !SETTLED.includes(ordered.state)) lookTimer = setTimeout(look, LOOK_MS);
}
