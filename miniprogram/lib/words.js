// What the customer reads, in each language. The same words for the same things as on the machine's screen.

const ZH_CN = {
  language: 'zh_CN',
  accept_language: 'zh-CN',
  products: '全部商品',
  my_orders: '我的订单',
  no_orders: '还没有订单',
  no_more: '没有更多了',
  loading: '正在加载',
  retry: '重试',
  sold_out: '已售罄',
  closed_machine: '暂停服务',
  buy: '微信支付',
  ordering: '正在下单',
  pay_again: '继续付款',
  buy_another: '再买一件',
  cancelled: '付款已取消，订单到期前可以继续付款',
  not_paid: '付款没有完成，请再试一次',
  slot: '货道',
  claim: '订单尾号',
  order_number: '订单号',
  ask_staff: '如需帮助，请向工作人员出示订单尾号',
  left: (text) => `请在 ${text} 内付款`,
  states: {
    created: ['等待付款', '商品已为您保留'],
    awaiting_payment: ['等待付款', '商品已为您保留'],
    checking: ['正在确认付款', '请稍候，马上就好'],
    expiring: ['付款时间已到', '订单正在关闭'],
    paid: ['已付款', '正在为您准备出货'],
    dispensing: ['正在出货', '请稍候，不要离开'],
    dispensed: ['请取走您的商品', '谢谢惠顾'],
    refunding: ['抱歉，未能出货', '退款正在处理，将原路退回'],
    refunded: ['已退款', '款项已原路退回'],
    refund_failed: ['抱歉，未能出货', '工作人员将为您退款'],
    in_doubt: ['出货结果待确认', '如未拿到商品，工作人员将为您退款'],
    closed: ['订单已关闭', '没有扣款'],
  },
  steps: {
    created: '已下单',
    paid: '已付款',
    dispensing: '开始出货',
    dispensed: '已出货',
    refunding: '开始退款',
    refunded: '已退款',
    refund_failed: '转人工退款',
    in_doubt: '转人工确认',
    closed: '已关闭',
  },
  errors: {
    offline: '网络不通，请检查后重试',
    login_failed: '微信登录失败，请重试',
    wrong_machine: '这个二维码不属于本机，请重新扫描机器上的二维码',
    bad_request: '请求有误',
    unauthorized: '请重新登录',
    bad_code: '登录凭证无效，请重试',
    blocked_user: '该微信账号暂时无法登录',
    not_found: '没有找到',
    unknown_order: '没有这个订单',
    unknown_product: '本机没有这种商品',
    not_allowed: '请求有误',
    sold_out: '已售罄',
    order_closed: '订单已关闭，请重新下单',
    order_paid: '订单已付款',
    too_many_unpaid: '未付款的订单太多，请先到“我的订单”付款',
    too_often: '操作太频繁，请稍后再试',
    error: '出错了，请稍后再试',
    out_of_service: '暂停服务',
    busy: '微信繁忙，请稍后再试',
    try_again: '系统繁忙，请稍后再试',
    misconfigured: '暂时无法登录',
  },
}

const EN = {
  language: 'en',
  accept_language: 'en',
  products: 'All products',
  my_orders: 'My orders',
  no_orders: 'No orders yet',
  no_more: 'That is all',
  loading: 'Loading',
  retry: 'Try again',
  sold_out: 'Sold out',
  closed_machine: 'Out of service',
  buy: 'Pay with WeChat',
  ordering: 'Ordering',
  pay_again: 'Pay now',
  buy_another: 'Buy another',
  cancelled: 'Payment cancelled: you can still pay until the order ends',
  not_paid: 'The payment did not go through: please try again',
  slot: 'Slot',
  claim: 'Order ending in',
  order_number: 'Order number',
  ask_staff: 'Need help? Show our staff the end of your order number',
  left: (text) => `Please pay within ${text}`,
  states: {
    created: ['Waiting for payment', 'We are keeping it for you'],
    awaiting_payment: ['Waiting for payment', 'We are keeping it for you'],
    checking: ['Confirming your payment', 'One moment, please'],
    expiring: ['Time is up', 'The order is being closed'],
    paid: ['Paid', 'Your goods are about to drop'],
    dispensing: ['Vending', 'Please wait at the machine'],
    dispensed: ['Please take your goods', 'Thank you!'],
    refunding: ['Sorry, this could not be delivered', 'Your refund is on its way'],
    refunded: ['Refunded', 'Your money has been returned'],
    refund_failed: ['Sorry, this could not be delivered', 'Our staff will refund you'],
    in_doubt: ['We are not sure that it dropped', 'If it did not, our staff will refund you'],
    closed: ['Order closed', 'You were not charged'],
  },
  steps: {
    created: 'Ordered',
    paid: 'Paid',
    dispensing: 'Vending',
    dispensed: 'Delivered',
    refunding: 'Refund started',
    refunded: 'Refunded',
    refund_failed: 'Handed to our staff',
    in_doubt: 'Handed to our staff',
    closed: 'Closed',
  },
  errors: {
    offline: 'No connection: please check your network and try again',
    login_failed: 'Logging in with WeChat failed: please try again',
    wrong_machine: 'This code is not of this machine: please scan the one on the machine again',
    bad_request: 'This request cannot be understood',
    unauthorized: 'Please log in again',
    bad_code: 'This log-in has expired: please try again',
    blocked_user: 'WeChat does not let this account log in at the moment',
    not_found: 'There is no such thing here',
    unknown_order: 'You have no such order',
    unknown_product: 'This machine does not sell that',
    not_allowed: 'This cannot be done in this way',
    sold_out: 'Sold out',
    order_closed: 'This order is closed: please make a new one',
    order_paid: 'This order has been paid',
    too_many_unpaid: 'Too many unpaid orders: please pay them first, under “My orders”',
    too_often: 'Too many requests: please wait a moment',
    error: 'Something went wrong: please try again later',
    out_of_service: 'Out of service',
    busy: 'WeChat is busy: please try again in a moment',
    try_again: 'Busy at the moment: please try again in a moment',
    misconfigured: 'Logging in does not work at the moment',
  },
}

/** The words of the phone's language: Chinese for every zh_…, English for all others. */
function phone_words() {
  const { language } = wx.getAppBaseInfo()
  return /^zh/i.test(language || 'zh_CN') ? ZH_CN : EN
}

/** Why something did not work; the machine's own words where ours do not know its code. */
function error_text(words, error) {
  return words.errors[error.code] || error.message || words.errors.error
}

/** The part of the words that a page shows by itself: setData takes no functions. */
function labels(words) {
  const { products, my_orders, no_orders, no_more, loading, retry, sold_out, closed_machine } = words
  const { pay_again, buy_another, slot, claim, order_number, ask_staff } = words
  return {
    products, my_orders, no_orders, no_more, loading, retry, sold_out, closed_machine,
    pay_again, buy_another, slot, claim, order_number, ask_staff,
  }
}

module.exports = { ZH_CN, EN, phone_words, error_text, labels }
