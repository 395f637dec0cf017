// The parts without a page: pure, or with one stand-in.

const { price_text } = require('../lib/money')
const { order_view } = require('../lib/order_view')
const { place_of } = require('../lib/scene')
const { ZH_CN, EN, phone_words } = require('../lib/words')

const ORDER = {
  out_trade_no: 'lobby-1-261123220000-BCDFGH',
  product_id: 'cola',
  product_name: '可口可乐',
  amount: 350,
  created_at: '2026-11-23T22:00:00.000+08:00',
  expires_at: '2026-11-23T22:05:00.000+08:00',
  claim_code: 'BCDFGH',
  slot: null,
}
const NOW = Date.parse(ORDER.created_at)

test.each([
  [{ scene: encodeURIComponent('m=lobby-1&p=cola') }, 'lobby-1', 'cola'],
  [{ scene: 'm%3Dlobby-1' }, 'lobby-1', ''],
  [{ q: encodeURIComponent('https://kiosk.example.com/go?m=lobby-1&p=cola#x') }, 'lobby-1', 'cola'],
  [{ q: encodeURIComponent('https://kiosk.example.com/go') }, '', ''],
  [{ m: 'lobby-1', p: 'cola' }, 'lobby-1', 'cola'],
  [{ scene: '%E0%A4%A' }, '', ''],
  [{ scene: encodeURIComponent('m=../../x&p=%E0%A4%A') }, '', ''],
  [{ scene: encodeURIComponent('p=cola;drop') }, '', ''],
  [{}, '', ''],
  [undefined, '', ''],
])('a code says where the customer stands: %j', (options, machine, product) => {
  expect(place_of(options)).toEqual({ machine, product })
})

test('money is read with two decimals', () => {
  expect([1, 50, 300, 350, 12345].map(price_text)).toEqual(['¥0.01', '¥0.50', '¥3.00', '¥3.50', '¥123.45'])
})

test.each([
  ['created', { payable: true, changing: true, tone: 'busy' }],
  ['awaiting_payment', { payable: true, changing: true, tone: 'busy' }],
  ['paid', { payable: false, changing: true, tone: 'busy' }],
  ['dispensing', { payable: false, changing: true, tone: 'busy' }],
  ['dispensed', { payable: false, changing: false, tone: 'good' }],
  ['refunding', { payable: false, changing: true, tone: 'warn' }],
  ['refunded', { payable: false, changing: false, tone: 'good' }],
  ['refund_failed', { payable: false, changing: true, tone: 'warn' }],
  ['in_doubt', { payable: false, changing: true, tone: 'warn' }],
  ['closed', { payable: false, changing: false, tone: 'quiet' }],
])('an order that is %s has words in both languages', (state, expected) => {
  for (const words of [ZH_CN, EN]) {
    const view = order_view({ ...ORDER, state }, words, NOW, false)
    expect(view).toMatchObject(expected)
    expect(view.title).toBe(words.states[state][0])
  }
})

test('the countdown ends, and so does paying', () => {
  const order = { ...ORDER, state: 'awaiting_payment' }
  expect(order_view(order, EN, NOW + 239_000, false)).toMatchObject({ text: 'Please pay within 1:01', payable: true })
  expect(order_view(order, EN, NOW + 300_000, false)).toMatchObject({ title: 'Time is up', payable: false })
  expect(order_view(order, EN, NOW, true)).toMatchObject({ title: 'Confirming your payment', payable: false })
})

test('both languages have the same words', () => {
  const shape = (value) => {
    if (typeof value !== 'object') return typeof value
    return Object.fromEntries(Object.entries(value).sort().map(([key, part]) => [key, shape(part)]))
  }
  expect(shape(EN)).toEqual(shape(ZH_CN))
})

test('the machine has no refusal without words here', () => {
  // The codes of kiosk/miniprogram/refusals.py, handed over by the Python test that runs this file.
  const codes = (process.env.REFUSALS || '').split(' ').filter(Boolean)
  expect(codes.length).toBeGreaterThan(10)
  expect(codes.filter((code) => !ZH_CN.errors[code])).toEqual([])
})

test.each([
  ['zh_CN', ZH_CN],
  ['zh_TW', ZH_CN],
  ['en', EN],
  ['fr', EN],
])('a phone in %s', (language, words) => {
  global.wx = { getAppBaseInfo: () => ({ language }) }
  expect(phone_words()).toBe(words)
})
