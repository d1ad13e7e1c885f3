// What the object store is asked, for whom, and what it costs.

import { get } from './api.js';
import { facts, h, quiet, replace, table } from './dom.js';
import { bytes, bytesPerSecond, count, duration, money, perSecond, price } from './format.js';
import { chart, History } from './chart.js';

const MONTH_S = 30 * 86_400;
const BILLED = { write: 'as writes', read: 'as reads', free: 'not' };
const FOR = {
  tail: 'Newest records: flushes, indexes, the catalog',
  replay: 'Consumers of history',
  merging: 'Settling, merging, compaction, deletion',
  recovery: 'Starts and recovery',
};

export function store(parameters, { signal }) {
  const history = new History();
  const about = h('div', {});
  const charts = [
    [chart('Requests billed as writes', perSecond), (looks) => looks.rates((look) => look.writes)],
    [chart('Requests billed as reads', perSecond), (looks) => looks.rates((look) => look.reads)],
    [chart('Written', bytesPerSecond), (looks) => looks.rates((look) => look.bytes_written)],
    [chart('Read', bytesPerSecond), (looks) => looks.rates((look) => look.bytes_read)],
  ];
  const operations = table('Operations', [
    { title: 'Operation', main: true, cell: (row) => row.op },
    { title: 'Billed', wide: true, cell: (row) => BILLED[row.billed] },
    { title: 'Requests', number: true, cell: (row) => quiet(row.requests, count(row.requests)) },
    { title: 'Cost', number: true, cell: (row) => quiet(row.cost, money(row.cost)) },
  ], (row) => row.op, '');
  const classes = table('For whom', [
    { title: 'For whom', main: true, cell: (row) => [h('strong', {}, row.class), h('small', {}, FOR[row.class])] },
    { title: 'Requests', number: true, cell: (row) => quiet(row.requests, count(row.requests)) },
    { title: 'As writes', number: true, wide: true, cell: (row) => quiet(row.writes, count(row.writes)) },
    { title: 'Waited', number: true, cell: (row) => quiet(Math.round(row.seconds_waited * 10), `${row.seconds_waited.toFixed(1)} s`) },
  ], (row) => row.class, '');
  const prices = h('p', { class: 'hint' });
  const element = h('div', {},
    h('h1', {}, 'Store'), about, h('section', { 'aria-label': 'Charts' }, h('div', { class: 'charts' }, charts.map(([{ element: one }]) => one))),
    h('div', { class: 'columns' }, h('section', {}, h('h2', {}, 'Operations'), operations.element), h('section', {}, h('h2', {}, 'For whom'), classes.element)), prices);
  return {
    title: 'Store',
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('store', {}, signal);
      history.add(answer);
      replace(about, facts(costs(answer, history)));
      for (const [one, read] of charts) one.draw(read(history));
      const { prices: set } = answer;
      operations.fill(answer.operations.map((row) => ({ ...row, cost: row.requests * (set[row.billed] ?? 0) })));
      classes.fill(answer.classes);
      replace(prices, `Reckoned by this broker's settings: ${price(set.gib_month)} for a GiB in a month, ${price(set.write * 1000)} for a thousand writes, ${price(set.read * 1000)} for a thousand reads, in the currency that they are in. Traffic between networks is not in it. `,
        h('code', {}, 'floe du'), ' looks the whole store through.');
    },
  };
}

function costs(answer, history) {
  const spent = answer.cost.writes + answer.cost.reads;
  const first = history.looks[0];
  const seconds = (answer.uptime_ms - first.uptime_ms) / 1000;
  const since = spent - first.cost.writes - first.cost.reads;
  const rate = seconds >= 10 ? (since / seconds) * MONTH_S : null;
  return [
    ['Requests so far', money(spent), `${count(answer.writes + answer.reads)} in ${duration(answer.uptime_ms)}`],
    ['A month of requests', rate === null ? '…' : money(rate), rate === null ? 'after ten seconds here' : `as in the last ${duration(seconds * 1000)}`],
    ['Stored', bytes(answer.stored_bytes), 'of what this broker leads'],
    ['A month of storage', money(answer.cost.stored_month)],
    ['Failed attempts', count(answer.failed), `${count(answer.unavailable)} given up`],
    ['Sent twice', count(answer.hedged), 'because the first was late'],
  ];
}
