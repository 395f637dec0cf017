/** Money as it is read: 350 (fen) -> ¥3.50. */
function price_text(fen) {
  return `¥${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, '0')}`
}

module.exports = { price_text }
