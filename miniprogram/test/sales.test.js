// What a customer does and sees, from the code on the machine to the goods; each test has a machine of its own.

const config = require('../config')
const { Phone, ask, new_machine, until } = require('./phone')

let machine
let phone

async function start(phone_options, machine_options) {
  machine = await new_machine(machine_options)
  phone = new Phone(machine, phone_options)
}

afterEach(async () => {
  phone.close_all()
  await machine.tell('stop')
})

test('from the code on the machine to the goods', async () => {
  await start()
  await phone.buy('cola', '可口可乐')
  await phone.sees('请取走您的商品')

  expect(phone.text_of('step-label')).toEqual(['已下单', '已付款', '开始出货', '已出货'])
  for (const time of phone.text_of('step-time')) expect(time).toMatch(/^\d\d:\d\d:\d\d$/)
  expect(phone.text_of('row-price')).toEqual(['¥3.50'])
  expect(phone.text_of('slot')).toEqual(['11'])
  expect(phone.text_of('claim')[0]).toMatch(/^[2-9B-Z]{6}$/)
  expect(phone.logins).toBe(1)
  const { data } = await machine.tell('books')
  expect(data).toEqual({ drops: [11], paid_fen: 350, refunded_fen: 0 })

  const looks = phone.requests.length
  await new Promise((resolve) => setTimeout(resolve, 2000)) // longer than the pause between two looks
  expect(phone.requests.length).toBe(looks) // a finished order is not looked at again
})

test('a cancelled payment can be made up for', async () => {
  await start()
  phone.cashier = 'cancel'
  await phone.buy('cola', '可口可乐')
  await phone.sees('付款已取消')
  await until(() => /请在 [0-5]:\d\d 内付款/.test(phone.text), 'the countdown runs')
  phone.cashier = 'pay'
  await phone.tap('pay-button', '继续付款')
  await phone.sees('请取走您的商品')
  await phone.sees_not('付款已取消')
  const { data } = await machine.tell('books')
  expect(data).toEqual({ drops: [11], paid_fen: 350, refunded_fen: 0 })
})

test('an order that is not paid ends before the eyes', async () => {
  await start({}, { order_ttl_seconds: 3 })
  phone.cashier = 'cancel'
  await phone.buy('cola', '可口可乐')
  await phone.sees('订单已关闭')
  expect(phone.text).not.toContain('付款已取消')
  expect(phone.all('pay-button')).toEqual([])
  await phone.tap('another')
  await phone.at('product')
})

test('jammed slots: the refund is told, and that it has come', async () => {
  await start()
  await ask('POST', `${machine.wechat}/simulator/faults`, { place: 'refund_end', name: 'processing', seconds: 3 })
  await machine.tell('jam', { slots: [11, 12] })
  await phone.buy('cola', '可口可乐')
  await phone.sees('退款正在处理')
  await phone.sees('款项已原路退回')
  expect(phone.text_of('step-label').slice(-2)).toEqual(['开始退款', '已退款'])
  const { data } = await machine.tell('books')
  expect(data).toEqual({ drops: [], paid_fen: 350, refunded_fen: 350 })
})

test("the customer's orders, a page at a time", async () => {
  await start()
  config.orders_each_page = 1
  await phone.buy('cola', '可口可乐')
  await phone.sees('请取走您的商品')
  phone.close_all()
  phone.cashier = 'cancel'
  await phone.buy('tea', '冰红茶')
  await phone.sees('付款已取消')
  phone.close_all()

  phone.scan()
  await phone.tap('orders-button')
  await phone.at('orders')
  await phone.sees('冰红茶')
  expect(phone.text).not.toContain('可口可乐')
  phone.call('onReachBottom')
  await phone.sees('可口可乐')
  phone.call('onReachBottom')
  await phone.sees('没有更多了')
  expect(phone.text_of('row-name')).toEqual(['冰红茶', '可口可乐'])
  expect(phone.text_of('order-state')).toEqual(['等待付款', '已出货'])
  await phone.tap('order', '冰红茶')
  await phone.at('order')
  phone.cashier = 'pay'
  await phone.tap('pay-button')
  await phone.sees('请取走您的商品')
})

test('an English phone', async () => {
  await start({ language: 'en' })
  await phone.buy('cola', 'Coca-Cola')
  await phone.sees('Please take your goods')
  await phone.sees('Coca-Cola')
  expect(phone.text_of('step-label')).toEqual(['Ordered', 'Paid', 'Vending', 'Delivered'])
  expect(phone.titles).toContain('Please take your goods')
})

test('a hidden order page asks nobody', async () => {
  await start()
  phone.cashier = 'cancel'
  await phone.buy('cola', '可口可乐')
  await phone.sees('付款已取消')
  phone.call('onHide')
  await new Promise((resolve) => setTimeout(resolve, 500)) // a look that was under way comes back
  const looks = phone.requests.length
  await new Promise((resolve) => setTimeout(resolve, 2000)) // longer than the pause between two looks
  expect(phone.requests.length).toBe(looks)
})
