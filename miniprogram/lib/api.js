// The machine's server: requests, log-in, and what went wrong as a `Refused`.

const config = require('../config')
const { phone_words } = require('./words')

const TIMEOUT_MS = 15000 // the machine itself gives up on WeChat after 12 seconds at most

/** A no. `code`: the server's, or offline, login_failed, wrong_machine. */
class Refused extends Error {
  constructor(code, message) {
    super(message || code)
    this.code = code
  }
}

/** One request; {status, data, header}. Rejects with `Refused` offline when there is no answer. */
function send(url, method, data, header) {
  return new Promise((resolve, reject) => {
    wx.request({
      url,
      method,
      data,
      header,
      timeout: TIMEOUT_MS,
      success: (answer) => resolve({ status: answer.statusCode, data: answer.data, header: answer.header || {} }),
      fail: (problem) => reject(new Refused('offline', problem.errMsg)),
    })
  })
}

function wechat_code() {
  return new Promise((resolve, reject) => {
    wx.login({
      success: ({ code }) => (code ? resolve(code) : reject(new Refused('login_failed'))),
      fail: (problem) => reject(new Refused('login_failed', problem.errMsg)),
    })
  })
}

/** The line to one machine; '' is whichever the default server is. */
class Machine {
  constructor(id) {
    this.id = id
    this.server = config.servers[id] || config.default_server
    this.clock_ahead_ms = 0 // of the server's clock: phones go wrong by minutes
    this.logging_in = null
  }

  /** {"id", "name", "open", "notice"}; refuses to speak for another machine than the one of the code. */
  async about() {
    const machine = await this.ask('GET', 'machine')
    if (this.id && machine.id !== this.id) throw new Refused('wrong_machine')
    return machine
  }

  async products() {
    return (await this.ask('GET', 'products')).products
  }

  image_of(product_id) {
    return `${this.server}/miniprogram/products/${product_id}/image`
  }

  async order(product_id) {
    return (await this.ask_as_customer('POST', 'orders', { product_id })).order
  }

  async look(number) {
    return (await this.ask_as_customer('GET', `orders/${encodeURIComponent(number)}`)).order
  }

  /** The arguments of wx.requestPayment. */
  pay(number) {
    return this.ask_as_customer('POST', `orders/${encodeURIComponent(number)}/pay`, {})
  }

  /** The customer's own orders, newest first; `before`: the last number of the page before, '' for the first. */
  async orders(limit, before) {
    const from = before ? `&before=${encodeURIComponent(before)}` : ''
    return (await this.ask_as_customer('GET', `orders?limit=${limit}${from}`)).orders
  }

  /** Now, by the server's clock, in milliseconds. */
  now() {
    return Date.now() + this.clock_ahead_ms
  }

  async ask(method, path, data, token) {
    const header = { 'Content-Type': 'application/json', 'Accept-Language': phone_words().accept_language }
    if (token) header.Authorization = `Bearer ${token}`
    const answer = await send(`${this.server}/miniprogram/${path}`, method, data, header)
    const date = Date.parse(answer.header.Date || answer.header.date || '')
    if (date) this.clock_ahead_ms = date - Date.now()
    if (answer.status >= 200 && answer.status < 300) return answer.data
    const { code, message } = (answer.data && answer.data.error) || {}
    // Without words of the machine's own it was a proxy that answered: the machine is not there.
    throw new Refused(code || (answer.status >= 500 ? 'offline' : 'error'), message)
  }

  /** Ask with the customer's token; one that has ended is renewed, once, without a word. */
  async ask_as_customer(method, path, data) {
    const kept = wx.getStorageSync(this.token_key())
    try {
      return await this.ask(method, path, data, kept || (await this.log_in()))
    } catch (error) {
      if (error.code !== 'unauthorized' || !kept) throw error
      if (wx.getStorageSync(this.token_key()) === kept) wx.removeStorageSync(this.token_key())
      const fresh = wx.getStorageSync(this.token_key()) || (await this.log_in())
      return this.ask(method, path, data, fresh)
    }
  }

  /** A new token; requests that want one at the same time share it. */
  log_in() {
    if (!this.logging_in) {
      const done = () => {
        this.logging_in = null
      }
      this.logging_in = this.begin_session()
      this.logging_in.then(done, done)
    }
    return this.logging_in
  }

  async begin_session() {
    const { token } = await this.ask('POST', 'login', { code: await wechat_code() })
    wx.setStorageSync(this.token_key(), token)
    return token
  }

  token_key() {
    return `token ${this.server}`
  }
}

module.exports = { Machine, Refused }
