// One order, live: pay it, watch it, take the goods.

const { Machine } = require('../../lib/api')
const { order_view } = require('../../lib/order_view')
const { place_of } = require('../../lib/scene')
const { phone_words, error_text, labels } = require('../../lib/words')

const LOOK_MS = 1500
const QUICK_LOOKS = 80 // two minutes; what lasts longer (a refund, a person) is looked at less often
const SLOW_LOOK_MS = 10000
const CHECKING_LOOKS = 20 // so long is WeChat's "ok" believed against a machine that has not heard of it
const TICK_MS = 1000 // of the countdown

Component({
  data: { labels: {}, error: '', notice: '', view: null, paying: false },

  methods: {
    onLoad(options) {
      this.words = phone_words()
      this.machine = new Machine(place_of(options).machine)
      this.number = options.n || ''
      this.looks = 0
      this.checking = 0
      this.setData({ labels: labels(this.words) })
      if (options.pay === '1') return this.pay()
      return undefined
    },

    onShow() {
      this.visible = true
      this.looks = 0
      this.ticking = setInterval(() => this.show(), TICK_MS)
      return this.look()
    },

    onHide() {
      this.visible = false
      clearTimeout(this.waiting)
      clearInterval(this.ticking)
    },

    onUnload() {
      this.onHide()
    },

    onPullDownRefresh() {
      return this.look().then(() => wx.stopPullDownRefresh())
    },

    /** Look now, and again while something can still change and somebody is watching. */
    async look() {
      clearTimeout(this.waiting)
      this.looks += 1
      const looking = this.looks
      let pace = this.looks > QUICK_LOOKS ? SLOW_LOOK_MS : LOOK_MS
      try {
        const order = await this.machine.look(this.number)
        this.order = order
        this.checking = Math.max(0, this.checking - 1)
        this.setData({ error: '' })
        this.show()
      } catch (error) {
        this.setData({ error: error_text(this.words, error) })
        if (error.code === 'unknown_order' || error.code === 'not_found') return
        pace = Math.max(pace, LOOK_MS * 2)
      }
      // Two looks may overlap (payment, pull-down): only the later one goes on.
      if (this.visible && looking === this.looks && (!this.order || this.data.view.changing)) {
        clearTimeout(this.waiting)
        this.waiting = setTimeout(() => this.look(), pace)
      }
    },

    show() {
      if (!this.order) return
      const view = order_view(this.order, this.words, this.machine.now(), this.checking > 0)
      this.setData({ view })
      if (!view.payable && this.data.notice) this.setData({ notice: '' }) // it spoke of paying
      wx.setNavigationBarTitle({ title: view.title })
      if (!view.changing) clearInterval(this.ticking)
    },

    async pay() {
      if (this.data.paying) return
      this.setData({ paying: true, notice: '' })
      try {
        const args = await this.machine.pay(this.number)
        await this.open_cashier(args)
      } catch (error) {
        // Paid or closed meanwhile: the look below tells it better.
        const known = error.code === 'order_paid' || error.code === 'order_closed'
        if (!known) this.setData({ notice: error_text(this.words, error) })
      }
      this.setData({ paying: false })
      this.looks = 0
      await this.look()
    },

    /** wx.requestPayment. Its "ok" is a hint: only the machine knows that it is paid. */
    open_cashier(args) {
      const { timeStamp, nonceStr, signType, paySign } = args
      return new Promise((resolve) => {
        wx.requestPayment({
          timeStamp,
          nonceStr,
          package: args.package,
          signType,
          paySign,
          success: () => {
            this.checking = CHECKING_LOOKS
            resolve()
          },
          fail: ({ errMsg = '' }) => {
            this.setData({ notice: /cancel/.test(errMsg) ? this.words.cancelled : this.words.not_paid })
            resolve()
          },
        })
      })
    },

    buy_another() {
      const { product_id } = this.data.view
      wx.redirectTo({ url: `/pages/product/product?m=${this.machine.id}&p=${product_id}` })
    },
  },
})
