// A phone with the mini-program open: its pages rendered, wx.* standing in over real HTTP.
//
// The machine and its surroundings are real; tests/phone_doors.py makes one for each test (address: PHONE_DOORS).

const http = require('http')
const path = require('path')
const simulate = require('miniprogram-simulate')

const ROOT = path.join(__dirname, '..')
const config = require('../config')
const shipped = { ...config }
const LIMIT_MS = 45000 // of any wait: the machine's own tries take seconds on a busy computer

const pages = {}

/** One request; {status, headers, data}, data from JSON where it is JSON. Rejects when nobody answers. */
function ask(method, url, values, headers = {}) {
  return new Promise((resolve, reject) => {
    const body = method === 'GET' ? undefined : JSON.stringify(values || {})
    const sent = { 'Content-Type': 'application/json', ...headers }
    if (body !== undefined) sent['Content-Length'] = Buffer.byteLength(body)
    const request = http.request(url, { method, headers: sent, agent: false }, (answer) => {
      const pieces = []
      answer.on('data', (piece) => pieces.push(piece))
      answer.on('error', reject)
      answer.on('end', () => {
        const text = Buffer.concat(pieces).toString()
        let data = text
        try {
          data = JSON.parse(text)
        } catch (error) {
          // as wx.request does: what is no JSON stays a text
        }
        resolve({ status: answer.statusCode, headers: answer.headers, data })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function until(condition, what) {
  const end = Date.now() + LIMIT_MS
  while (Date.now() < end) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10)) // the pages tell nobody when they have rendered
  }
  throw new Error(`waited in vain until ${what}; the page says: ${document.body.textContent}`)
}

/** A machine of its own for a test; the config as it was shipped, and the machine in it. */
async function new_machine(options) {
  Object.assign(config, { ...shipped, servers: {} })
  const { data } = await ask('POST', `${process.env.PHONE_DOORS}/machines`, options)
  if (!data.address) throw new Error(`no machine: ${JSON.stringify(data)}`)
  config.servers[data.id] = data.address
  return {
    ...data,
    tell: (what, values) => ask('POST', `${process.env.PHONE_DOORS}/machines/${data.number}/${what}`, values),
  }
}

/** One customer's phone. `cashier`: what happens when wx.requestPayment opens it: pay or cancel. */
class Phone {
  constructor(machine, { openid = 'o-customer', language = 'zh_CN' } = {}) {
    this.machine = machine
    this.openid = openid
    this.language = language
    this.storage = {}
    this.offline = false
    this.cashier = 'pay'
    this.logins = 0
    this.requests = []
    this.titles = []
    this.stack = []
    this.page = null
    Object.assign(global.wx, this.doors())
  }

  doors() {
    return {
      getAppBaseInfo: () => ({ language: this.language }),
      getStorageSync: (key) => this.storage[key] ?? '',
      setStorageSync: (key, value) => {
        this.storage[key] = value
      },
      removeStorageSync: (key) => delete this.storage[key],
      setNavigationBarTitle: ({ title }) => this.titles.push(title),
      stopPullDownRefresh: () => {},
      navigateTo: ({ url }) => this.open(url),
      redirectTo: ({ url }) => {
        this.close()
        this.open(url)
      },
      reLaunch: ({ url }) => {
        this.close_all()
        this.open(url)
      },
      login: ({ success, fail }) => {
        this.logins += 1
        ask('POST', `${this.machine.wechat}/simulator/login`, { openid: this.openid }).then(
          ({ data }) => success({ code: data.code, errMsg: 'login:ok' }),
          (error) => fail({ errMsg: `login:fail ${error.message}` }),
        )
      },
      request: ({ url, method, data, header, success, fail }) => {
        this.requests.push(`${method} ${new URL(url).pathname}`)
        if (this.offline) {
          setTimeout(() => fail({ errMsg: 'request:fail ' }), 0)
          return
        }
        ask(method, url, data, header).then(
          (answer) => success({ statusCode: answer.status, header: answer.headers, data: answer.data }),
          (error) => fail({ errMsg: `request:fail ${error.message}` }),
        )
      },
      requestPayment: ({ success, fail, ...values }) => {
        if (this.cashier === 'cancel') {
          setTimeout(() => fail({ errMsg: 'requestPayment:fail cancel' }), 0)
          return
        }
        ask('POST', `${this.machine.wechat}/simulator/request-payment`, { arguments: values, openid: this.openid }).then(
          ({ data }) => {
            if (data.payment) success({ errMsg: 'requestPayment:ok' })
            else fail({ errMsg: `requestPayment:fail ${data.told.text}` })
          },
          (error) => fail({ errMsg: `requestPayment:fail ${error.message}` }),
        )
      },
    }
  }

  /** Scan the code on the machine. */
  scan(product) {
    this.open('/pages/products/products', { scene: encodeURIComponent(`m=${this.machine.id}${product ? `&p=${product}` : ''}`) })
  }

  /** Scan a product's code and tap its button. */
  async buy(product, name) {
    this.scan(product)
    await this.at('product')
    await this.sees(name)
    await this.tap('pay-button')
    await this.at('order')
  }

  /** Open a page of ours as WeChat does: onLoad with the query as it stands in the url, onShow. */
  open(url, options) {
    const [route, query = ''] = url.replace(/^\//, '').split('?')
    const given = options || Object.fromEntries(query.split('&').filter(Boolean).map((pair) => pair.split('=')))
    if (!pages[route]) {
      pages[route] = simulate.load(path.join(ROOT, route), 'page', { compiler: 'simulate', rootPath: ROOT })
    }
    if (this.page) this.hide(this.page)
    const component = simulate.render(pages[route])
    const parent = document.createElement('div')
    parent.id = `p${this.stack.length}`
    document.body.appendChild(parent)
    component.attach(parent)
    this.page = { route, component, parent }
    this.stack.push(this.page)
    this.call('onLoad', given)
    this.call('onShow')
  }

  call(name, argument) {
    const { instance } = this.page.component
    return instance[name] ? instance[name](argument) : undefined
  }

  hide(page) {
    if (page.component.instance.onHide) page.component.instance.onHide()
    page.parent.style.display = 'none'
  }

  /** Close the page on top. */
  close() {
    const page = this.stack.pop()
    if (page.component.instance.onUnload) page.component.instance.onUnload()
    page.component.detach()
    page.parent.remove()
    this.page = this.stack[this.stack.length - 1] || null
  }

  close_all() {
    while (this.stack.length) this.close()
  }

  /** Back to the page below. */
  back() {
    this.close()
    this.page.parent.style.display = ''
    this.call('onShow')
  }

  get text() {
    return this.page ? this.page.parent.textContent : ''
  }

  all(name) {
    return this.page ? [...this.page.parent.querySelectorAll(`.page--${name}`)] : []
  }

  text_of(name) {
    return this.all(name).map((node) => node.textContent.trim())
  }

  async sees(text) {
    await until(() => this.text.includes(text), `"${text}" is to be seen`)
  }

  async sees_not(text) {
    await until(() => !this.text.includes(text), `"${text}" is gone`)
  }

  async at(route) {
    await until(() => this.page && this.page.route === `pages/${route}/${route}`, `the page ${route} is open`)
  }

  /** Tap what carries a class, the first whose text has `text` in it. */
  async tap(name, text = '') {
    const found = () => {
      const nodes = this.page ? this.page.component.querySelectorAll(`.${name}`) : []
      return nodes.find((node) => node.dom.textContent.includes(text))
    }
    await until(found, `there is a ${name} "${text}"`)
    found().dispatchEvent('tap', { bubbles: true })
  }
}

module.exports = { Phone, ask, new_machine, until }
