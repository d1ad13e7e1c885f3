// Small charts of the last minutes, drawn from what was polled.

import { h, svg, replace } from './dom.js';
import { duration } from './format.js';

const WIDTH = 300;
const HEIGHT = 56;
export const KEPT = 150;

/** What has been polled: the last so many looks. A look that failed, or a broker that began anew, leaves a gap. */
export class History {
  constructor() {
    this.looks = [];
  }

  add(look) {
    const last = this.looks.at(-1);
    if (last?.uptime_ms > look.uptime_ms) this.looks = [];
    this.looks.push(look);
    if (this.looks.length > KEPT + 1) this.looks.shift();
  }

  /** By look but the first: how fast a counter grew since the one before. */
  rates(read) {
    return this.looks.slice(1).map((look, at) => {
      const before = this.looks[at];
      const seconds = (look.uptime_ms - before.uptime_ms) / 1000;
      const grown = read(look) - read(before);
      return { at: look.uptime_ms, value: seconds > 0 && grown >= 0 ? grown / seconds : null };
    });
  }

  values(read) {
    return this.looks.slice(1).map((look) => ({ at: look.uptime_ms, value: read(look) ?? null }));
  }
}

/** One chart: its name, the newest value, and the curve; `show(value)` writes a value. */
export function chart(name, show, detail = '') {
  const value = h('output', { class: 'value' }, '–');
  const when = h('span', { class: 'when' });
  const most = h('span', { class: 'most' });
  const area = svg('path', { class: 'area' });
  const line = svg('path', { class: 'line' });
  const mark = svg('line', { class: 'mark', y1: 0, y2: HEIGHT, visibility: 'hidden' });
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${name}: nothing yet` }, area, line, mark);
  const element = h('figure', { class: 'chart' },
    h('figcaption', {}, h('span', { class: 'name', title: detail || null }, name), value),
    h('div', { class: 'plot' }, picture, most),
    h('div', { class: 'axis' }, when, h('span', {}, 'now')));
  let points = [];
  let pointed = null;

  function describe() {
    const newest = points.at(-1);
    const point = pointed ?? newest;
    replace(value, point ? show(point.value) : '–', pointed && pointed !== newest && h('small', {}, ` ${duration(newest.at - point.at)} ago`));
    mark.setAttribute('visibility', pointed ? 'visible' : 'hidden');
    if (pointed) for (const side of ['x1', 'x2']) mark.setAttribute(side, x(pointed));
  }

  // The newest is at the right end; the span grows until it is full.
  const x = (point) => {
    const newest = points.at(-1).at;
    const span = Math.max(newest - points[0].at, 1);
    return (WIDTH * (span - (newest - point.at))) / span;
  };

  picture.addEventListener('pointermove', (event) => {
    if (points.length < 2) return;
    const box = picture.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * WIDTH;
    pointed = points.reduce((best, point) => (Math.abs(x(point) - wanted) < Math.abs(x(best) - wanted) ? point : best));
    describe();
  });
  picture.addEventListener('pointerleave', () => {
    pointed = null;
    describe();
  });

  return {
    element,
    draw(next) {
      points = next;
      pointed = pointed && (points.find((point) => point.at === pointed.at) ?? null);
      const known = points.filter((point) => point.value !== null);
      const top = Math.max(...known.map((point) => point.value), 0);
      const y = (point) => HEIGHT - 2 - (top > 0 ? (point.value / top) * (HEIGHT - 6) : 0);
      let lines = '';
      let areas = '';
      let open = null;
      for (const point of points) {
        if (point.value === null) {
          open = null;
          continue;
        }
        const at = `${x(point).toFixed(1)} ${y(point).toFixed(1)}`;
        lines += `${open ? 'L' : 'M'}${at}`;
        areas += open ? `L${at}L${x(point).toFixed(1)} ${HEIGHT}L${x(open).toFixed(1)} ${HEIGHT}Z` : '';
        areas += `M${x(point).toFixed(1)} ${HEIGHT}L${at}`;
        open = point;
      }
      line.setAttribute('d', lines);
      area.setAttribute('d', areas);
      const span = points.length > 1 ? points.at(-1).at - points[0].at : 0;
      replace(when, span > 0 ? `${duration(Math.max(span, 1000))} ago` : 'collecting …');
      replace(most, top > 0 ? `max ${show(top)}` : '');
      const newest = points.at(-1)?.value;
      picture.setAttribute('aria-label', `${name}: ${newest === undefined ? 'nothing yet' : `${show(newest)} now, at most ${show(top)}`}`);
      describe();
    },
  };
}
