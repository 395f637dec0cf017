// Everything that the page says, in both languages. {names} are filled in.
"use strict";

const WORDS = {
  en: {
    other: "中文", title: "Buy a drink.", subtitle: "Then try to break the machine: it keeps its promise.",
    technician: "Technician’s page", password: "password",
    find: "Find a code", hint: "Tap a code on the machine’s screen", reading: "Reading the code …",
    noCode: "No code there: tap right on one", noCodes: "The machine shows no code now", choose: "Which one?",
    codeNumber: "Code {n}", dark: "The machine’s screen is dark",
    goods: "Goods", order: "Order", pay: "Pay ¥{amount}", paying: "Paying …", cancel: "Cancel", done: "Done",
    paid: "Paid", paidText: "Now look at the machine →", notPossible: "That did not work",
    miniprogram: "Mini-program", notNow: "sold out", close: "Close", claim: "Order ending in {claim}",
    state_created: "Ordered", state_awaiting_payment: "Waiting for your payment", state_paid: "Paid",
    state_dispensing: "Vending …", state_dispensed: "Take your goods", state_in_doubt: "Our staff is looking into it",
    state_refunding: "Your refund is on its way", state_refunded: "Refunded", state_refund_failed: "Our staff will refund you",
    state_closed: "Closed, not paid",
    refunded: "Refund: ¥{amount} is back in your account", take: "Take your goods", tray: "The tray is empty",
    screenAlt: "The machine’s screen", seenAlt: "What the phone’s camera sees",
    off: "no power", crashed: "The machine’s process has ended by itself",
    faults: "Break something", diary: "What happened", on: "on", armed: "armed",
    mend: "A slot that failed stays off sale until somebody has looked: free it on the technician’s page.",
    ended: "The demo has ended. Start it again with: make demo",
  },
  zh: {
    other: "English", title: "买瓶饮料吧。", subtitle: "然后试着弄坏这台机器：它说到做到。",
    technician: "维护页面", password: "密码",
    find: "找二维码", hint: "点一下机器屏幕上的二维码", reading: "正在识别…",
    noCode: "这里没有二维码，请点准一些", noCodes: "机器现在没有显示二维码", choose: "选一个",
    codeNumber: "第 {n} 个二维码", dark: "机器的屏幕黑了",
    goods: "商品", order: "订单", pay: "支付 ¥{amount}", paying: "支付中…", cancel: "取消", done: "完成",
    paid: "支付成功", paidText: "请看机器 →", notPossible: "没有成功",
    miniprogram: "小程序", notNow: "售罄", close: "关闭", claim: "订单尾号 {claim}",
    state_created: "已下单", state_awaiting_payment: "等待付款", state_paid: "已付款",
    state_dispensing: "正在出货…", state_dispensed: "请取走商品", state_in_doubt: "工作人员正在处理",
    state_refunding: "退款中", state_refunded: "已退款", state_refund_failed: "将由工作人员退款",
    state_closed: "未付款，已关闭",
    refunded: "退款到账：¥{amount} 已退回", take: "取走商品", tray: "取货口是空的",
    screenAlt: "机器的屏幕", seenAlt: "手机镜头里的画面",
    off: "断电", crashed: "机器的进程自己退出了",
    faults: "搞点破坏", diary: "发生了什么", on: "开", armed: "待发",
    mend: "出过故障的货道会停售，直到有人看过：请到维护页面恢复。",
    ended: "演示已结束。重新开始：make demo",
  },
};

// Faults: what the button says, and what will happen.
const FAULTS = {
  power: {
    en: ["Cut the power", "Kills the machine’s process this instant (SIGKILL), then starts it again. Best while a motor turns."],
    zh: ["拉闸断电", "立刻杀掉机器的进程（SIGKILL），再重新启动。最好趁电机在转的时候。"],
  },
  jam: {
    en: ["Jam the next motor", "It turns and nothing falls. Another slot with the same drink takes over; without one the money goes back."],
    zh: ["卡住下一个电机", "电机转了，货没掉。同款商品的另一个货道会接手；没有的话自动退款。"],
  },
  unplug: {
    en: ["Unplug the board", "No motor can be reached, so the codes leave the screen: nobody pays for nothing."],
    zh: ["拔掉控制板", "电机控制不了，二维码马上从屏幕上消失：没人会白付钱。"],
  },
  silent: {
    en: ["Strike the board dumb", "Plugged in, but not a word. Who has paid waits half a minute at most; then the money goes back."],
    zh: ["让控制板装哑", "插着，但一声不吭。付了款的人最多等半分钟，然后退款。"],
  },
  reboot: {
    en: ["Restart the board in mid-vend", "It forgets its job just before the goods fall. The machine vends nothing twice and refunds."],
    zh: ["出货途中重启控制板", "货掉下来之前它失忆了。机器不会重复出货，会退款。"],
  },
  lost: {
    en: ["Lose WeChat’s next message", "“Paid” never arrives. WeChat repeats it after 5 s (15 s in real life)."],
    zh: ["弄丢微信的下一条通知", "“已支付”没送到。微信 5 秒后重发（现实中是 15 秒）。"],
  },
  slow: {
    en: ["Slow WeChat down", "Every answer takes two seconds."],
    zh: ["让微信变慢", "每个应答都要两秒。"],
  },
  down: {
    en: ["Cut the line to WeChat", "Your phone still works: open a cashier first, cut the line, pay. The machine learns of it later."],
    zh: ["断开与微信的连接", "手机照常：先打开收银台，断线，再付款。机器稍后会知道。"],
  },
};

// The diary: [who, sentence].
const DIARY = {
  codes: ["wechat", "New codes on the screen: {count}", "屏幕上的新二维码：{count} 个"],
  ordered: ["machine", "The machine orders {goods} at WeChat, {yuan}", "机器向微信下单：{goods}，{yuan}"],
  scanned: ["phone", "The phone scanned {goods}: the cashier opens, {yuan}", "手机扫了{goods}：打开收银台，{yuan}"],
  told: ["phone", "The phone says: {what}", "手机提示：{what}"],
  cancelled: ["phone", "Left the cashier without paying for {goods}", "没有付款就离开了收银台（{goods}）"],
  paid: ["wechat", "WeChat took {yuan} for {goods}", "微信收款 {yuan}（{goods}）"],
  notified: ["wechat", "WeChat’s message reached the machine, which confirmed it", "微信的通知送到了，机器已确认"],
  notification_failed: ["fault", "WeChat’s message did not arrive; it will be repeated", "微信的通知没送到，稍后重发"],
  notification_given_up: ["fault", "WeChat gave up on its message", "微信放弃了通知"],
  closed: ["wechat", "An order nobody paid for was closed", "一笔没人付款的订单已关闭"],
  vend: ["board", "The motor of slot {slot} turns for {goods}", "货道 {slot} 的电机开始转（{goods}）"],
  jam: ["fault", "The motor of slot {slot} turns and jams: no {goods} falls", "货道 {slot} 的电机卡住了：{goods}没有掉下来"],
  drop: ["board", "{goods} drops into the tray", "{goods}掉进了取货口"],
  board_reboot: ["fault", "The board restarted and forgot what it was doing", "控制板重启了，忘了自己在做什么"],
  refund_accepted: ["machine", "The machine asks WeChat to give {yuan} back", "机器请微信退回 {yuan}"],
  refund_ended: ["wechat", "{yuan} is back with the customer", "{yuan} 已退给顾客"],
  power_cut: ["fault", "Power cut: the machine’s process is dead", "断电：机器的进程没了"],
  power_back: ["machine", "Power is back: the machine starts and looks into its journal", "来电：机器启动，先看账本"],
  machine_stopped: ["fault", "The machine’s process ended by itself (status {status}): {what}", "机器的进程自己退出了（状态 {status}）：{what}"],
  fault_on: ["fault", "You: {fault}", "你：{fault}"],
  fault_off: ["fault", "You mended it: {fault}", "你修好了：{fault}"],
};

// WeChat speaks Chinese; what it says, for those who do not. Words of the machine itself come in its own language.
const TOLD = {
  "原生支付URL参数错误": "The code is not a valid payment link",
  "获取商户订单信息超时或者商户返回的httpcode非200": "The shop does not answer. Please try again later",
  "商户返回的订单信息有误": "The shop’s answer cannot be read",
  "商家订单信息有误，请重新下单支付": "This order belongs to somebody else. Please scan again",
  "无法识别的二维码": "This code is not known",
  "二维码已失效，请重新扫码": "This code has been replaced. Please scan the new one",
  "二维码已过期，请重新扫码": "This code has expired. Please scan again",
  "订单已过期，请重新扫码": "This order has expired. Please scan again",
  "订单已关闭，请重新扫码": "This order was closed. Please scan again",
  "该订单已支付，请勿重复支付": "This order is already paid",
};
