// Topics, and the partitions of one.

import { get } from './api.js';
import { badge, facts, h, link, message, pager, quiet, remember, replace, searchField, table } from './dom.js';
import { bytes, count, NONE, plural, time } from './format.js';

const PAGE = 50;

export function topics(parameters, { signal, refresh, shared }) {
  const asked = { q: parameters.q ?? '', internal: parameters.internal === 'true', offset: Number(parameters.offset) || 0 };
  const go = (change) => {
    Object.assign(asked, change);
    remember('topics', asked);
    refresh();
  };
  const isCluster = () => shared.latest?.is_cluster;
  const list = table('Topics', [
    { title: 'Topic', main: true, cell: (row) => [link('topic', { name: row.name }, row.name), without(row.held)] },
    { title: 'Partitions', number: true, cell: (row) => [count(row.partitions), isCluster() && h('small', {}, `${count(row.held.led)} here`)] },
    { title: 'Records', number: true, cell: (row) => known(row, (held) => quiet(held.records, count(held.records))) },
    { title: 'In the store', number: true, wide: true, cell: (row) => known(row, (held) => quiet(held.stored_bytes, bytes(held.stored_bytes))) },
    { title: 'In the WAL', number: true, wide: true, cell: (row) => known(row, (held) => quiet(held.wal_bytes, bytes(held.wal_bytes))) },
    { title: 'Durability', wide: true, cell: (row) => row.durability },
    { title: 'Cleanup', wide: true, cell: (row) => row.cleanup },
  ], (row) => row.id, 'No topic is called so.');
  const pages = pager('Pages of topics', (offset) => go({ offset }));
  const total = h('span', { class: 'total' });
  const internal = h('input', { type: 'checkbox', checked: asked.internal, on: { change: () => go({ internal: internal.checked, offset: 0 }) } });
  const element = h('div', {},
    h('div', { class: 'head' }, h('h1', {}, 'Topics'), total),
    h('div', { class: 'tools', role: 'search' }, searchField('Find a topic', asked.q, (q) => go({ q, offset: 0 })), h('label', {}, internal, 'Internal topics')),
    list.element, pages.element);
  return {
    title: 'Topics',
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('topics', { ...asked, limit: PAGE }, signal);
      list.fill(answer.topics);
      pages.show(answer);
      replace(total, answer.matched === answer.total ? count(answer.total) : `${count(answer.matched)} of ${count(answer.total)}`);
    },
  };
}

const known = (row, show) => (row.held.led > 0 || row.partitions === 0 ? show(row.held) : h('span', { class: 'muted', title: 'Other brokers lead it' }, NONE));
const without = (held) => held.without_leader > 0 && [' ', badge('bad', `${count(held.without_leader)} without a leader`)];

export function topic(parameters, { signal, refresh }) {
  const name = parameters.name ?? '';
  let offset = Number(parameters.offset) || 0;
  const about = h('div', {});
  const settings = h('section', { hidden: true });
  const list = table('Partitions', [
    { title: 'Partition', main: true, cell: (row) => link('records', { topic: name, partition: row.partition }, `Partition ${row.partition}`) },
    { title: 'Leader', cell: (row) => leader(row) },
    { title: 'First offset', number: true, wide: true, cell: (row) => count(row.log_start) },
    { title: 'Next offset', number: true, cell: (row) => [count(row.committed), row.end > row.committed && h('small', {}, `${count(row.end - row.committed)} not committed`)] },
    { title: 'In the store', number: true, wide: true, cell: (row) => quiet(row.stored_bytes, bytes(row.stored_bytes)) },
    { title: 'In the WAL', number: true, wide: true, cell: (row) => quiet(row.wal_bytes, bytes(row.wal_bytes)) },
    { title: 'Not in the store', number: true, wide: true, cell: (row) => (row.here ? quiet(row.records_not_stored, plural(row.records_not_stored, 'record')) : NONE) },
  ], (row) => row.partition, 'There are no partitions here.');
  const pages = pager('Pages of partitions', (next) => {
    offset = next;
    remember('topic', { name, offset });
    refresh();
  });
  const element = h('div', {},
    h('p', { class: 'path' }, link('topics', {}, 'Topics')), h('h1', { class: 'name' }, name), about,
    h('section', {}, h('h2', {}, 'Partitions'), list.element, pages.element), settings);
  return {
    title: name,
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('topic', { name, offset, limit: PAGE }, signal);
      const { topic: shown } = answer;
      replace(about, facts(ofTopic(shown)), elsewhere(shown));
      list.fill(answer.rows);
      pages.show(answer);
      const configs = Object.entries(shown.configs);
      settings.hidden = configs.length === 0;
      if (settings.childElementCount === 0 && configs.length > 0) {
        replace(settings, h('h2', {}, 'Settings of its own'), facts(configs.map(([key, value]) => [key, h('code', {}, value)])));
      }
    },
  };
}

function ofTopic(topic) {
  const { held } = topic;
  return [
    ['Partitions', count(topic.partitions), held.led < topic.partitions && `${count(held.led)} led here`],
    ['Records', count(held.records), 'by offsets'],
    ['In the store', bytes(held.stored_bytes)],
    ['In the WAL', bytes(held.wal_bytes)],
    ['Durability', topic.durability],
    ['Cleanup', topic.cleanup],
    ['Created', time(topic.created_ms)],
    ['Id', h('code', {}, topic.id), null, 'long'],
  ];
}

function elsewhere({ held, partitions }) {
  const notes = [];
  if (held.without_leader > 0) notes.push(message('bad', `${plural(held.without_leader, 'partition')} without a leader at the moment.`));
  const others = partitions - held.led - held.without_leader;
  if (others > 0) notes.push(message('note', `${plural(others, 'partition is', 'partitions are')} led by other brokers, who alone know their offsets and sizes; the sums here are of what this broker leads.`));
  return notes;
}

function leader(row) {
  if (!row.leader) return badge('bad', 'none');
  const { id, host, port, epoch } = row.leader;
  return [h('span', { class: 'whole', title: `${host}:${port}, epoch ${epoch}` }, `Broker ${id}`), row.here ? null : h('small', { class: 'beside' }, `${host}:${port}`),
    row.preferred !== null && row.preferred !== id && h('small', {}, `${row.preferred} is preferred`)];
}
