// Node: native slices of a minute each -> normalized messages, by npm tardis-dev (started by npm_peer.py).
// options.json: {folder, exchange, symbols, from, to, types, disconnects, raw, cacheDir, live, stop}
const fs = require('fs'), path = require('path'), zlib = require('zlib')
const T = require('tardis-dev')
const handy = require(path.join(path.dirname(require.resolve('tardis-dev')), 'handy.js'))

const iso = Date.prototype.toISOString
Date.prototype.toJSON = function () { // with microseconds, as tardis-machine prints them
  const text = iso.call(this)
  return this.μs === undefined ? text : text.slice(0, -1) + String(this.μs).padStart(3, '0') + 'Z'
}

const NORMALIZERS = {
  trade: T.normalizeTrades, book_change: T.normalizeBookChanges, derivative_ticker: T.normalizeDerivativeTickers,
  liquidation: T.normalizeLiquidations, book_ticker: T.normalizeBookTickers
}
const UNITS = { ms: 1, s: 1000, m: 60000, ticks: 1, vol: 1 }

function computable (name) { // the computed types of tardis-machine, by its names
  const bar = /^trade_bar_(\d+)(ms|s|m|ticks|vol)$/.exec(name)
  if (bar) {
    const kind = { ticks: 'tick', vol: 'volume' }[bar[2]] || 'time'
    return T.computeTradeBars({ kind, interval: Number(bar[1]) * UNITS[bar[2]], name })
  }
  const book = /^book_snapshot_(\d+)(?:_grouped(\d+(?:\.\d+)?))?_(\d+)(ms|s|m)$/.exec(name)
  if (book) {
    return T.computeBookSnapshots({ depth: Number(book[1]), grouping: book[2] ? Number(book[2]) : undefined,
      interval: Number(book[3]) * UNITS[book[4]], name, removeCrossedLevels: true })
  }
  const quote = /^quote(?:_(\d+)(ms|s|m))?$/.exec(name)
  if (!quote) throw new Error('unknown type ' + name)
  return T.computeBookSnapshots({ depth: 1, interval: quote[1] ? Number(quote[1]) * UNITS[quote[2]] : 0, name,
    removeCrossedLevels: true })
}

function normalizersOf (types) {
  const names = new Set()
  for (const type of types) {
    if (type.startsWith('trade_bar')) names.add('trade')
    else if (type.startsWith('book_snapshot') || type.startsWith('quote')) names.add('book_change')
    else names.add(type)
  }
  for (const name of names) if (!NORMALIZERS[name]) throw new Error('unknown type ' + name)
  return Object.keys(NORMALIZERS).filter(name => names.has(name)).map(name => NORMALIZERS[name])
}

function prime (o, normalizers) { // put the slices where the library looks for what it has downloaded
  const mappers = normalizers.map(make => make(o.exchange, new Date(o.from)))
  const filters = handy.optimizeFilters(handy.getFilters(mappers, o.symbols))
  const place = path.join(o.cacheDir, 'feeds', o.exchange, handy.sha256(filters))
  for (let t = Date.parse(o.from); t < Date.parse(o.to); t += 60000) {
    const minute = iso.call(new Date(t)).slice(0, 16) // 2024-03-01T00:00
    const from = path.join(o.folder, minute.replace(':', '-') + '.ndjson')
    const to = path.join(place, ...minute.split(/[-T:]/)) + '.json.gz'
    fs.mkdirSync(path.dirname(to), { recursive: true })
    fs.writeFileSync(to, zlib.gzipSync(fs.existsSync(from) ? fs.readFileSync(from) : Buffer.alloc(0)))
  }
}

async function main () {
  const o = JSON.parse(fs.readFileSync(process.argv[2]))
  const normalizers = normalizersOf(o.types)
  T.init({ endpoint: 'https://127.0.0.1:9/v1', cacheDir: o.cacheDir, apiKey: '' }) // nothing listens there
  let source
  if (o.live) {
    source = T.streamNormalized({ exchange: o.exchange, symbols: o.symbols, withDisconnectMessages: true,
      timeoutIntervalMS: o.timeoutMs || 10000 }, ...normalizers)
  } else {
    prime(o, normalizers)
    source = T.replayNormalized({ exchange: o.exchange, symbols: o.symbols, from: o.from, to: o.to,
      withDisconnectMessages: o.disconnects }, ...normalizers)
  }
  const computed = o.types.filter(type => !NORMALIZERS[type]).map(computable)
  const wanted = new Set([...o.types, 'disconnect'])
  let left = o.stop || Infinity // live: leave after so many messages
  for await (const m of computed.length ? T.compute(source, ...computed) : source) {
    if (!wanted.has(m.name || m.type)) continue
    process.stdout.write(JSON.stringify(m) + '\n')
    if (--left <= 0) process.exit(0)
  }
}
main().catch(error => { console.error(error.stack); process.exit(1) })
