// An order as its page shows it: pure.

const { price_text } = require('./money')

const UNPAID = ['created', 'awaiting_payment']
const FINAL = ['dispensed', 'refunded', 'closed']
const TONES = {
  dispensed: 'good',
  refunded: 'good',
  refunding: 'warn',
  refund_failed: 'warn',
  in_doubt: 'warn',
  closed: 'quiet',
}

function two(number) {
  return String(number).padStart(2, '0')
}

/** 12:03:09 by the phone's clock; with the day in front when it was another one. */
function time_text(iso, now_ms) {
  const at = new Date(iso)
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  if (at.toDateString() === new Date(now_ms).toDateString()) return clock
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`
}

/**
 * What to show of an order of the server. `checking`: WeChat has said that it is paid, the machine has not yet.
 *
 * `changing`: whether it is worth looking again; `payable`: whether the customer can pay it now.
 */
function order_view(order, words, now_ms, checking) {
  const unpaid = UNPAID.includes(order.state)
  // Rounded down: the server's clock is known from its Date header, which leaves fractions out.
  const seconds_left = Math.max(0, Math.floor((Date.parse(order.expires_at) - now_ms) / 1000))
  let shown = order.state
  if (unpaid && checking) shown = 'checking'
  else if (unpaid && !seconds_left) shown = 'expiring'
  const [title, text] = words.states[shown]
  const waiting = unpaid && shown === order.state
  const countdown = `${Math.floor(seconds_left / 60)}:${two(seconds_left % 60)}`
  return {
    number: order.out_trade_no,
    product_id: order.product_id,
    product_name: (words.language === 'en' && order.product_name_en) || order.product_name,
    price: price_text(order.amount),
    title,
    summary: FINAL.includes(order.state) ? words.steps[order.state] : title, // in the list nobody is to take anything
    text: waiting ? words.left(countdown) : text,
    tone: TONES[shown] || 'busy',
    payable: waiting,
    changing: !FINAL.includes(order.state),
    done: FINAL.includes(order.state),
    slot: order.slot || '',
    claim_code: order.claim_code,
    created: time_text(order.created_at, now_ms),
    steps: (order.history || [])
      .filter((step) => words.steps[step.state])
      .map((step) => ({ state: step.state, label: words.steps[step.state], time: time_text(step.at, now_ms) })),
  }
}

/** A product of the server as it is shown. */
function product_view(product, words, image) {
  const name = (words.language === 'en' && product.name_en) || product.name
  return {
    id: product.id,
    name,
    letter: Array.from(name)[0],
    price: price_text(product.price),
    available: product.available,
    image,
  }
}

module.exports = { order_view, product_view }
