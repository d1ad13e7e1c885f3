// Elements from data. Text only ever becomes text nodes and attributes: nothing here reads markup.

const SVG = 'http://www.w3.org/2000/svg';

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** `h('a', { href: '#/', on: { click } }, 'text', element)` */
export function h(tag, properties, ...children) {
  return build(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

export function replace(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/** A link to a view, with parameters. */
export function href(view, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ''}`;
}

export function link(view, parameters, ...children) {
  return h('a', { href: href(view, parameters) }, ...children);
}

/** Replaces an address's parameters without a new entry in the history. */
export function remember(view, parameters) {
  history.replaceState(null, '', href(view, parameters));
}

/**
 * A table whose rows are kept while their data stay as they are, so that focus and selection outlive a refresh.
 * Columns: { title, cell(row), number, wide } - `wide`: left out on narrow screens.
 */
export function table(label, columns, key, empty) {
  const classes = (column) => [column.number && 'number', column.wide && 'wide', column.main && 'main'].filter(Boolean).join(' ') || null;
  const head = h('tr', {}, columns.map((column) => h('th', { scope: 'col', class: classes(column) }, column.title)));
  const body = h('tbody', {});
  const nothing = h('p', { class: 'nothing', hidden: true }, empty);
  const element = h('div', { class: 'table' }, h('table', { 'aria-label': label }, h('thead', {}, head), body), nothing);
  let known = new Map();
  return {
    element,
    fill(rows) {
      const next = new Map();
      for (const row of rows) {
        const name = String(key(row));
        const data = JSON.stringify(row);
        const before = known.get(name);
        if (before?.data === data) {
          next.set(name, before);
          continue;
        }
        const line = h('tr', {}, columns.map((column) => h('td', { class: classes(column), 'data-title': column.title }, column.cell(row))));
        if (before) restoreFocus(before.line, line);
        next.set(name, { data, line });
      }
      const lines = [...next.values()].map((entry) => entry.line);
      const names = [...next.keys()];
      if (names.length === known.size && [...known.keys()].every((name, at) => name === names[at])) {
        lines.forEach((line, at) => { if (body.children[at] !== line) body.children[at].replaceWith(line); });
      } else {
        const focused = document.activeElement;
        body.replaceChildren(...lines);
        if (body.contains(focused)) focused.focus({ preventScroll: true });
      }
      for (const line of lines) {
        line.focusAt?.focus({ preventScroll: true });
        line.focusAt = null;
      }
      nothing.hidden = rows.length > 0;
      known = next;
    },
  };
}

/** Whichever link of the old row had the focus: the same one of the new row gets it. */
function restoreFocus(before, after) {
  const at = [...before.querySelectorAll('a, button')].indexOf(document.activeElement);
  if (at >= 0) after.focusAt = [...after.querySelectorAll('a, button')][at];
}

/** Names and values, with a note where there is one; what has a fourth word is long. */
export function facts(entries) {
  const one = ([name, value, note, long]) => h('div', { class: long && 'long' }, h('dt', {}, name), h('dd', {}, value, note && h('small', {}, note)));
  return h('dl', { class: 'facts' }, entries.filter(Boolean).map(one));
}

/** Nothing is no news. */
export function quiet(value, shown) {
  return value === 0 ? h('span', { class: 'muted' }, shown) : shown;
}

export function message(kind, ...children) {
  return h('p', { class: `message ${kind}`, role: kind === 'bad' ? 'alert' : 'note' }, ...children);
}

export function badge(kind, text) {
  return h('span', { class: `badge ${kind}` }, text);
}

/** Steps through pages. `go(offset)` is called with the next beginning. */
export function pager(label, go) {
  const back = h('button', { type: 'button', on: { click: () => go(Math.max(0, at.offset - at.limit)) } }, 'Previous');
  const on = h('button', { type: 'button', on: { click: () => go(at.offset + at.limit) } }, 'Next');
  const where = h('span', { 'aria-live': 'polite' });
  const element = h('div', { class: 'pager', role: 'group', 'aria-label': label }, back, where, on);
  let at = { offset: 0, limit: 1, matched: 0 };
  return {
    element,
    show({ offset, limit, matched }) {
      at = { offset, limit, matched };
      back.disabled = offset === 0;
      on.disabled = offset + limit >= matched;
      element.hidden = matched <= limit && offset === 0;
      const last = Math.min(offset + limit, matched);
      replace(where, matched > offset ? `${(offset + 1).toLocaleString('en')}–${last.toLocaleString('en')} of ${matched.toLocaleString('en')}` : `none of ${matched.toLocaleString('en')}`);
    },
  };
}

/** Calls back once nobody has typed for a moment. */
export function searchField(label, value, found) {
  let waiting = 0;
  const input = h('input', {
    type: 'search', 'aria-label': label, placeholder: label, maxlength: 200, value, spellcheck: 'false', autocomplete: 'off',
    on: { input: () => { clearTimeout(waiting); waiting = setTimeout(() => found(input.value.trim()), 150); } },
  });
  return input;
}
