// What the machine sells: the page that every code opens.

const { Machine } = require('../../lib/api')
const { product_view } = require('../../lib/order_view')
const { place_of } = require('../../lib/scene')
const { phone_words, error_text, labels } = require('../../lib/words')

Component({
  data: { labels: {}, name: '', notice: '', error: '', loading: true, products: [] },

  methods: {
    onLoad(options) {
      this.words = phone_words()
      const place = place_of(options)
      if (place.machine) wx.setStorageSync('machine', place.machine)
      // Opened from the list of recent mini-programs: the machine of the last time.
      this.machine = new Machine(place.machine || wx.getStorageSync('machine') || '')
      this.setData({ labels: labels(this.words) })
      if (place.product) this.open(place.product)
      return this.load()
    },

    onPullDownRefresh() {
      return this.load().then(() => wx.stopPullDownRefresh())
    },

    async load() {
      this.setData({ loading: true, error: '' })
      try {
        const [about, products] = await Promise.all([this.machine.about(), this.machine.products()])
        wx.setNavigationBarTitle({ title: about.name })
        this.setData({
          loading: false,
          name: about.name,
          notice: about.notice,
          products: products.map((product) => {
            return product_view(product, this.words, this.machine.image_of(product.id))
          }),
        })
      } catch (error) {
        this.setData({ loading: false, error: error_text(this.words, error) })
      }
    },

    no_picture(event) {
      this.setData({ [`products[${event.currentTarget.dataset.index}].image`]: '' })
    },

    choose(event) {
      this.open(event.currentTarget.dataset.id)
    },

    open(product_id) {
      wx.navigateTo({ url: `/pages/product/product?m=${this.machine.id}&p=${product_id}` })
    },

    open_orders() {
      wx.navigateTo({ url: `/pages/orders/orders?m=${this.machine.id}` })
    },
  },
})
