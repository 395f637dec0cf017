// The customer's own orders at this machine, newest first, a page at a time.

const config = require('../../config')
const { Machine } = require('../../lib/api')
const { order_view } = require('../../lib/order_view')
const { place_of } = require('../../lib/scene')
const { phone_words, error_text, labels } = require('../../lib/words')

Component({
  data: { labels: {}, error: '', loading: false, orders: [], complete: false },

  methods: {
    onLoad(options) {
      this.words = phone_words()
      this.machine = new Machine(place_of(options).machine)
      this.setData({ labels: labels(this.words) })
      wx.setNavigationBarTitle({ title: this.words.my_orders })
    },

    onShow() {
      return this.reload() // an order may have changed while its own page was open
    },

    onPullDownRefresh() {
      return this.reload().then(() => wx.stopPullDownRefresh())
    },

    onReachBottom() {
      return this.data.complete ? undefined : this.load()
    },

    reload() {
      this.setData({ complete: false })
      return this.load(true)
    },

    retry() {
      return this.load()
    },

    async load(anew) {
      if (this.data.loading) return
      this.setData({ loading: true, error: '' })
      const shown = anew ? [] : this.data.orders
      try {
        const before = shown.length ? shown[shown.length - 1].number : ''
        const found = await this.machine.orders(config.orders_each_page, before)
        const views = found.map((order) => order_view(order, this.words, this.machine.now(), false))
        this.setData({ orders: shown.concat(views), complete: found.length < config.orders_each_page })
      } catch (error) {
        this.setData({ error: error_text(this.words, error) })
      }
      this.setData({ loading: false })
    },

    open(event) {
      wx.navigateTo({ url: `/pages/order/order?m=${this.machine.id}&n=${event.currentTarget.dataset.number}` })
    },
  },
})
