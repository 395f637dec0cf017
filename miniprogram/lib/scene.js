// Where the customer stands, and in front of what: read from what the page was opened with.

const ID = /^[A-Za-z0-9_-]{1,32}$/

function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    return '' // a code that somebody has tampered with
  }
}

function value_of(query, name) {
  for (const pair of query.split('&')) {
    const [key, value = ''] = pair.split('=')
    const text = decoded(value)
    if (key === name && ID.test(text)) return text
  }
  return ''
}

/**
 * {machine, product}, '' for what is not told.
 *
 * `scene`: of a mini-program code, URL-encoded "m=MACHINE&p=PRODUCT" (wxacode.getUnlimited: 32 characters at most);
 * `q`: an ordinary link that opens the mini-program, URL-encoded "https://…?m=MACHINE&p=PRODUCT";
 * `m` and `p`: from one page of ours to the next.
 */
function place_of(options) {
  const { scene = '', q = '', m = '', p = '' } = options || {}
  let query = `m=${m}&p=${p}`
  if (scene) query = decoded(scene)
  else if (q) query = decoded(q).split('#')[0].split('?')[1] || ''
  return { machine: value_of(query, 'm'), product: value_of(query, 'p') }
}

module.exports = { place_of }
