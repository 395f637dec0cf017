// What a customer sees when something is not as it should be; each test has a machine of its own.

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

test('a lost notification: the order page makes the machine ask', async () => {
  await start()
  await ask('POST', `${machine.wechat}/simulator/faults`, { place: 'notify', name: 'never' })
  await phone.buy('cola', '可口可乐')
  await phone.sees('请取走您的商品')
})

test('what is sold out cannot be bought', async () => {
  await start()
  phone.scan('tea')
  await phone.at('product')
  await phone.sees('冰红茶')
  await machine.tell('reserve', { product: 'tea' }) // the last one, by somebody else, while this page is open
  await phone.tap('pay-button')
  await phone.sees('已售罄')
  expect(phone.page.component.instance.data.product.available).toBe(false)
  phone.back()
  phone.call('onPullDownRefresh')
  await until(() => phone.all('tile-gone').length === 1, 'the list says so too')
})

test('a machine out of service says why', async () => {
  await start()
  await machine.tell('out-of-service', { text: '正在补货，十分钟后回来' })
  phone.scan()
  await phone.sees('正在补货，十分钟后回来')
  await until(() => phone.all('tile-gone').length === 2, 'nothing is for sale')
  await phone.tap('tile', '可口可乐')
  await phone.at('product')
  await phone.sees('正在补货，十分钟后回来')
  expect(phone.all('pay-button-off').length).toBe(1)
})

test('an expired token is renewed without a word', async () => {
  await start()
  phone.storage[`token ${machine.address}`] = 'a-token-of-last-month'
  await phone.buy('cola', '可口可乐')
  await phone.sees('请取走您的商品')
  expect(phone.logins).toBe(1)
  expect(phone.storage[`token ${machine.address}`]).not.toBe('a-token-of-last-month')
})

test('a code with a product that is not here', async () => {
  await start()
  phone.scan('umbrella')
  await phone.at('product')
  await phone.sees('本机没有这种商品')
  expect(phone.all('pay-button')).toEqual([])
  await phone.tap('all-products')
  await phone.at('products')
  await phone.sees('可口可乐')
})

test('a code of another machine sells nothing of this one', async () => {
  await start()
  config.default_server = machine.address
  phone.open('/pages/products/products', { scene: encodeURIComponent('m=elsewhere-9&p=cola') })
  await phone.at('product')
  await phone.sees('这个二维码不属于本机')
  expect(phone.all('pay-button')).toEqual([])
})

test('without a network the phone says so, and goes on when it is back', async () => {
  await start()
  phone.offline = true
  phone.scan()
  await phone.sees('网络不通')
  phone.offline = false
  await phone.tap('quiet-button', '重试')
  await phone.sees('可口可乐')
  await phone.sees_not('网络不通')

  phone.cashier = 'cancel'
  await phone.tap('tile', '可口可乐')
  await phone.tap('pay-button')
  await phone.sees('付款已取消')
  phone.offline = true
  await phone.sees('网络不通')
  phone.offline = false
  await phone.sees_not('网络不通') // by itself: the page goes on looking
})

test('a busy WeChat is told when logging in does not work', async () => {
  await start()
  for (const name of ['-1', '40226']) {
    await ask('POST', `${machine.wechat}/simulator/faults`, { place: 'jscode2session', name, times: name === '-1' ? 2 : 1 })
  }
  phone.scan('cola')
  await phone.at('product')
  await phone.tap('pay-button')
  await phone.sees('微信繁忙，请稍后再试')
  await phone.tap('pay-button')
  await phone.sees('该微信账号暂时无法登录')
  await phone.tap('pay-button')
  await phone.sees('请取走您的商品')
})
