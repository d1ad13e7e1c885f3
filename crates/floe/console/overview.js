// The broker at a glance: whether it is well, how much goes through it, what it holds.

import { h, replace, facts, message, link } from './dom.js';
import { bytes, bytesPerSecond, count, duration, perSecond, plural } from './format.js';
import { chart } from './chart.js';

export function overview(parameters, { shared }) {
  const notes = h('div', {});
  const figures = h('div', {});
  const log = h('div', {});
  const charts = [
    [chart('Produced', bytesPerSecond, 'Bytes of Produce requests'), (looks) => looks.rates((look) => look.kafka.produce_bytes)],
    [chart('Consumed', bytesPerSecond, 'Records given to consumers'), (looks) => looks.rates((look) => look.kafka.fetched_bytes)],
    [chart('Kafka requests', perSecond), (looks) => looks.rates((look) => look.kafka.requests)],
    [chart('Store requests', perSecond, 'Attempts, as the store bills them'), (looks) => looks.rates((look) => look.requests.all)],
    [chart('Written to the store', bytesPerSecond), (looks) => looks.rates((look) => look.requests.bytes_written)],
    [chart('Read from the store', bytesPerSecond), (looks) => looks.rates((look) => look.requests.bytes_read)],
    [chart('WAL', bytes, 'What the local disk holds that is not in certain slots of the store'), (looks) => looks.values((look) => look.engine?.wal_bytes)],
    [chart('Memory', bytes, 'Resident memory of the process'), (looks) => looks.values((look) => look.memory_bytes)],
  ];
  const element = h('div', {},
    h('h1', {}, 'Overview'), notes, figures,
    h('section', { 'aria-label': 'Charts' }, h('div', { class: 'charts' }, charts.map(([{ element: one }]) => one))),
    h('section', {}, h('h2', {}, 'Log'), log));

  function looked() {
    const { latest } = shared;
    if (!latest) return;
    replace(notes, troubles(latest));
    replace(figures, facts(general(latest)));
    replace(log, latest.engine ? facts(ofLog(latest)) : message('note', 'The engine is not open yet.'));
    for (const [one, read] of charts) one.draw(read(shared.history));
  }
  looked();
  return { title: 'Overview', element, looked, refresh: async () => {} };
}

function troubles({ reasons, engine, requests }) {
  const said = reasons.map((reason) => message('bad', `Not ready: ${reason}.`));
  for (const why of engine?.stopped_because ?? []) said.push(message('bad', `Stopped because of damage: ${why}`));
  for (const { incarnation, waits_for: waits } of engine?.recovering ?? []) {
    said.push(message('warn', `Incarnation ${incarnation} is being recovered${waits ? `; it waits for ${waits}` : ''}.`));
  }
  if (requests.unavailable > 0) said.push(message('warn', `${plural(requests.unavailable, 'call')} to the store ${requests.unavailable === 1 ? 'was' : 'were'} given up since the start.`));
  return said;
}

function general(latest) {
  const { kafka, engine } = latest;
  const missing = latest.partitions - latest.with_leader;
  return [
    engine && ['Brokers', link('brokers', {}, count(latest.brokers)), latest.is_cluster ? 'listed' : 'a single one'],
    engine && ['Topics', link('topics', {}, count(engine.topics))],
    engine && ['Partitions', count(latest.partitions), missing > 0 ? `${count(missing)} without a leader` : 'all have leaders'],
    engine && latest.is_cluster && ['Led here', count(engine.partitions)],
    ['Connections', count(kafka.connections)],
    ['Errors to clients', count(kafka.errors), 'since the start'],
    ['Up', duration(latest.uptime_ms), engine && `incarnation ${engine.incarnation}`],
  ];
}

function ofLog(latest) {
  const { engine } = latest;
  const meter = h('meter', { min: 0, max: latest.wal_budget, value: engine.wal_bytes, high: latest.wal_budget * 0.9, 'aria-label': 'Part of the WAL budget in use' });
  return [
    ['WAL', h('span', {}, bytes(engine.wal_bytes), ' ', meter), `of ${bytes(latest.wal_budget)}`],
    ['Not in the store yet', plural(engine.unflushed_batches, 'batch', 'batches'), `${bytes(engine.unplanned_bytes)} without a slot`],
    ['Tail in memory', bytes(engine.tail_bytes)],
    ['Read cache', bytes(engine.cached_bytes), hits(engine.cache_hits, engine.cache_misses)],
    (engine.disk_cached_bytes > 0 || engine.disk_cache_hits > 0) && ['Cache on disk', bytes(engine.disk_cached_bytes), hits(engine.disk_cache_hits, engine.disk_cache_misses)],
    engine.standbys > 0 && ['Copies of the WAL', `${engine.standbys_counting} of ${engine.standbys}`, 'count at the moment'],
    ['Durability', engine.durability, 'of topics that do not say'],
    ['Catalog', `version ${count(engine.catalog_version)}`],
    ['Store', h('code', {}, latest.store), null, 'long'],
  ];
}

function hits(found, missed) {
  const all = found + missed;
  return all === 0 ? 'not asked yet' : `${Math.round((100 * found) / all)} % of ${count(all)} found`;
}
