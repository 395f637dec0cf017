// One product: what it is, what it costs, and the button that buys it.

const { Machine, Refused } = require('../../lib/api')
const { product_view } = require('../../lib/order_view')
const { place_of } = require('../../lib/scene')
const { phone_words, error_text, labels } = require('../../lib/words')

Component({
  data: { labels: {}, notice: '', error: '', loading: true, product: null, ordering: false, button: '' },

  methods: {
    onLoad(options) {
      this.words = phone_words()
      this.place = place_of(options)
      this.machine = new Machine(this.place.machine)
      this.setData({ labels: labels(this.words) })
    },

    onShow() {
      return this.load() // also when the customer comes back from an order: one unit less may be there
    },

    onPullDownRefresh() {
      return this.load().then(() => wx.stopPullDownRefresh())
    },

    async load() {
      this.setData({ loading: true, error: '' })
      try {
        const [about, products] = await Promise.all([this.machine.about(), this.machine.products()])
        wx.setNavigationBarTitle({ title: about.name })
        const product = products.find(({ id }) => id === this.place.product)
        if (!product) throw new Refused('unknown_product')
        this.setData({
          loading: false,
          notice: about.notice,
          product: product_view(product, this.words, this.machine.image_of(product.id)),
          button: this.words.buy,
        })
      } catch (error) {
        this.setData({ loading: false, error: error_text(this.words, error) })
      }
    },

    /** Order; the order's page opens the cashier. */
    async buy() {
      if (this.data.ordering) return
      this.setData({ ordering: true, error: '', button: this.words.ordering })
      try {
        const order = await this.machine.order(this.place.product)
        wx.navigateTo({ url: `/pages/order/order?m=${this.machine.id}&n=${order.out_trade_no}&pay=1` })
      } catch (error) {
        if (error.code === 'sold_out' || error.code === 'out_of_service') await this.load()
        this.setData({ error: error_text(this.words, error) })
      } finally {
        this.setData({ ordering: false, button: this.words.buy })
      }
    },

    no_picture() {
      this.setData({ 'product.image': '' })
    },

    open_products() {
      wx.reLaunch({ url: `/pages/products/products?m=${this.machine.id}` })
    },
  },
})
