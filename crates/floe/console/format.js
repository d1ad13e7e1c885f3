// Numbers, sizes, times and JSON as people read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
export const NONE = '–';

export function count(value) {
  return value === undefined || value === null ? NONE : Math.round(value).toLocaleString('en');
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Three digits that count. */
function three(value) {
  if (value === 0) return '0';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

export function bytes(value) {
  if (value === undefined || value === null) return NONE;
  let unit = 0;
  let left = value;
  while (left >= 1000 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(left) : three(left)} ${UNITS[unit]}`;
}

export function perSecond(value) {
  return value === null || value === undefined ? NONE : `${value < 1 && value > 0 ? three(value) : three(Math.round(value * 10) / 10)}/s`;
}

export function bytesPerSecond(value) {
  return value === null || value === undefined ? NONE : `${bytes(value)}/s`;
}

/** An amount in whatever currency the prices are in. */
export function money(value) {
  if (value === undefined || value === null || !Number.isFinite(value)) return NONE;
  if (value === 0) return '0';
  if (value < 0.000_001) return '< 0.000001';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value >= 0.01 ? value.toFixed(2) : value.toFixed(6);
}

/** A price as it was set. */
export function price(value) {
  return String(Number(value.toPrecision(9)));
}

export function duration(ms) {
  const s = Math.floor(ms / 1000);
  const parts = [[Math.floor(s / 86_400), 'd'], [Math.floor(s / 3600) % 24, 'h'], [Math.floor(s / 60) % 60, 'min'], [s % 60, 's']];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(' ');
}

const two = (value) => String(value).padStart(2, '0');

/** Local time; the browser's zone. */
export function time(ms, precise = false) {
  if (ms === undefined || ms === null || ms < 0) return NONE;
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return String(ms);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day} ${clock}${precise ? `.${String(at.getMilliseconds()).padStart(3, '0')}` : ''}`;
}

/**
 * JSON on lines of its own. Only blanks between tokens are changed: numbers and strings stay as the producer wrote them, however many digits they
 * have. What would become much longer is left as it is.
 */
export function pretty(text) {
  const most = text.length * 4 + 4096;
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;
  let before = '';
  for (const [token] of text.matchAll(tokens)) {
    if (token === '}' || token === ']') {
      depth -= 1;
      if (before !== '{' && before !== '[') out += line();
    } else if (before === '{' || before === '[' || before === ',') {
      out += line();
    } else if (before === ':') {
      out += ' ';
    }
    out += token;
    if (token === '{' || token === '[') depth += 1;
    before = token;
    if (out.length > most) return text;
  }
  return out;
}

/** Bytes in rows of sixteen, with the letters that they would be. */
export function hexdump(hex) {
  const rows = [];
  for (let at = 0; at < hex.length; at += 32) {
    const row = hex.slice(at, at + 32).match(/../g);
    const letters = row.map((byte) => { const code = parseInt(byte, 16); return code >= 32 && code < 127 ? String.fromCharCode(code) : '.'; });
    rows.push(`${(at / 2).toString(16).padStart(4, '0')}  ${row.join(' ').padEnd(47)}  ${letters.join('')}`);
  }
  return rows.join('\n');
}
