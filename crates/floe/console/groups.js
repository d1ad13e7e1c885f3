// Consumer groups and their lag.

import { get } from './api.js';
import { badge, facts, h, link, message, pager, remember, replace, searchField, table } from './dom.js';
import { count, NONE, plural, time } from './format.js';

const PAGE = 50;
const KIND = { Stable: 'ok', Empty: 'quiet', PreparingRebalance: 'warn', CompletingRebalance: 'warn', Dead: 'bad' };

export function groups(parameters, { signal, refresh }) {
  const asked = { q: parameters.q ?? '', offset: Number(parameters.offset) || 0 };
  const go = (change) => {
    Object.assign(asked, change);
    remember('groups', asked);
    refresh();
  };
  const list = table('Groups', [
    { title: 'Group', main: true, cell: (row) => link('group', { id: row.group }, row.group || '(no name)') },
    { title: 'State', cell: (row) => badge(KIND[row.state] ?? 'quiet', row.state) },
    { title: 'Members', number: true, cell: (row) => count(row.members) },
    { title: 'Partitions', number: true, wide: true, cell: (row) => count(row.lag?.partitions) },
    { title: 'Lag', number: true, cell: (row) => lag(row.lag) },
  ], (row) => row.group, 'No group is called so.');
  const pages = pager('Pages of groups', (offset) => go({ offset }));
  const total = h('span', { class: 'total' });
  const notes = h('div', {});
  const element = h('div', {},
    h('div', { class: 'head' }, h('h1', {}, 'Groups'), total),
    h('div', { class: 'tools', role: 'search' }, searchField('Find a group', asked.q, (q) => go({ q, offset: 0 }))),
    list.element, pages.element, notes);
  return {
    title: 'Groups',
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('groups', { ...asked, limit: PAGE }, signal);
      list.fill(answer.groups);
      pages.show(answer);
      replace(total, answer.matched === answer.total ? count(answer.total) : `${count(answer.matched)} of ${count(answer.total)}`);
      replace(notes, elsewhere(answer.coordinators));
    },
  };
}

function elsewhere(coordinators) {
  const others = coordinators.filter((one) => !one.here);
  if (others.length === 0) return null;
  const all = coordinators.reduce((sum, one) => sum + one.partitions, 0);
  const own = coordinators.find((one) => one.here)?.partitions ?? 0;
  const named = others.map((one) => (one.id === null ? 'nobody at the moment' : `broker ${one.id} (${one.host}:${one.port})`));
  return message('note', `This broker coordinates the groups of ${count(own)} of ${count(all)} partitions that keep them. The others: ${named.join(', ')}.`);
}

function lag(of) {
  if (!of) return NONE;
  const unknown = of.unknown > 0 && h('small', { title: 'Led by other brokers, or deleted' }, `${count(of.unknown)} not known here`);
  return [of.partitions > 0 && of.partitions === of.unknown ? NONE : h('span', { class: of.lag > 0 ? 'strong' : 'muted' }, count(of.lag)), unknown];
}

export function group(parameters, { signal, refresh }) {
  const id = parameters.id ?? '';
  let offset = Number(parameters.offset) || 0;
  const about = h('div', {});
  const offsets = table('Offsets', [
    { title: 'Topic', main: true, cell: (row) => link('topic', { name: row.topic }, row.topic) },
    { title: 'Partition', number: true, cell: (row) => link('records', { topic: row.topic, partition: row.partition, offset: row.committed }, row.partition) },
    { title: 'Committed', number: true, cell: (row) => count(row.committed) },
    { title: 'End', number: true, wide: true, cell: (row) => count(row.end) },
    { title: 'Lag', number: true, cell: (row) => h('span', { class: row.lag > 0 ? 'strong' : 'muted' }, count(row.lag)) },
    { title: 'Committed at', wide: true, cell: (row) => time(row.committed_ms) },
    { title: 'Member', wide: true, cell: (row) => (row.member ? h('code', { class: 'short', title: row.member }, row.member) : NONE) },
  ], (row) => `${row.topic}-${row.partition}`, 'Nothing is committed.');
  const members = table('Members', [
    { title: 'Client', main: true, cell: (row) => row.client || '(no name)' },
    { title: 'From', cell: (row) => h('code', {}, row.host) },
    { title: 'Member', wide: true, cell: (row) => h('code', { class: 'short', title: row.member }, row.instance ?? row.member) },
    { title: 'Partitions', number: true, cell: (row) => h('span', { title: row.assigned.join(', ') }, count(row.partitions)) },
  ], (row) => row.member, 'Nobody is in it.');
  const pages = pager('Pages of offsets', (next) => {
    offset = next;
    remember('group', { id, offset });
    refresh();
  });
  const element = h('div', {},
    h('p', { class: 'path' }, link('groups', {}, 'Groups')), h('h1', { class: 'name' }, id || '(no name)'), about,
    h('section', {}, h('h2', {}, 'Offsets'), offsets.element, pages.element), h('section', {}, h('h2', {}, 'Members'), members.element));
  return {
    title: id,
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('group', { group: id, offset, limit: PAGE }, signal);
      replace(about, facts([
        ['State', badge(KIND[answer.state] ?? 'quiet', answer.state)],
        ['Lag', lag(answer.lag), answer.lag.unknown === 0 && `over ${plural(answer.lag.partitions, 'partition')}`],
        ['Members', count(answer.member_count)],
        ['Protocol', [answer.protocol_type || NONE, answer.protocol && `, ${answer.protocol}`]],
      ]));
      offsets.fill(answer.rows);
      pages.show(answer);
      members.fill(answer.members);
    },
  };
}
