// Which machine answers where. Every address stands in the list of request domains of the mini-program's account.
module.exports = {
  // The machine's id (kiosk.ini, [kiosk] id) -> the https address of its [callbacks] listener.
  servers: {
    // 'lobby-1': 'https://lobby-1.example.com',
  },
  // For a machine that is not in the list, and for a start without any code.
  default_server: 'https://kiosk.example.com',
  orders_each_page: 20,
}
