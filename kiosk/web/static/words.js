"use strict";
// What the page says, in each language.
const WORDS = {
  "zh-CN": {
    other: "English", logout: "退出", slots: "货道", screen: "顾客屏幕", orders: "订单", machine: "设备", more: "更早的订单",
    no: "取消", service: "暂停服务（给顾客看的话）", switch_off: "暂停服务", switch_on: "恢复服务",
    ok: "一切正常，{n} 种商品在售", degraded: "在售 {n} / {all} 种商品", out_of_service: "未在售卖",
    restock: "补货", fill: "补满", enable: "启用", free: "已排除故障", disable: "停用", test: "试出货",
    ask_test: "货道 {slot} 将转动一次。掉下的商品不计入销售。", ask_refund: "把 {amount} 退给顾客？订单尾号 {claim}。", ask_stock: "货道 {slot} 现有几件（0–{capacity}）？",
    refund: "退款", done: "已完成", stale: "连接中断，画面可能已过时，正在重新连接…", ago: "{n} 秒前",
    vending: "货道 {slot} 正在出货", no_orders: "还没有订单", of: "{stock} / {capacity}",
    states: { ok: "在售", sold_out: "售罄", jammed: "故障", disabled: "停用" },
    order_states: { created: "已创建", awaiting_payment: "待付款", paid: "已付款", dispensing: "出货中", dispensed: "已出货", in_doubt: "存疑", refunding: "退款中", refunded: "已退款", refund_failed: "退款失败", closed: "已关闭" },
  },
  en: {
    other: "中文", logout: "Log out", slots: "Slots", screen: "Customer's screen", orders: "Orders", machine: "Machine", more: "Older orders",
    no: "Cancel", service: "Out of service (text for customers)", switch_off: "Take out of service", switch_on: "Back into service",
    ok: "All well: sells {n} products", degraded: "Sells {n} of {all} products", out_of_service: "Sells nothing",
    restock: "Restock", fill: "Fill", enable: "Enable", free: "Jam is cleared", disable: "Disable", test: "Test vend",
    ask_test: "Turn slot {slot} once. If a can drops, it is not booked as sold.", ask_refund: "Give {amount} back to the customer? Order ending in {claim}.", ask_stock: "How many stand in slot {slot} now (0–{capacity})?",
    refund: "Refund", done: "Done", stale: "No connection: what you see may be old. Connecting again…", ago: "{n} s ago",
    vending: "Slot {slot} is vending", no_orders: "No orders yet", of: "{stock} of {capacity}",
    states: { ok: "on sale", sold_out: "sold out", jammed: "fault", disabled: "disabled" },
    order_states: { created: "created", awaiting_payment: "awaiting payment", paid: "paid", dispensing: "vending", dispensed: "vended", in_doubt: "in doubt", refunding: "refunding", refunded: "refunded", refund_failed: "refund failed", closed: "closed" },
  },
};
