// The brokers of the cluster, as this one knows them.

import { get } from './api.js';
import { badge, h, message, replace, table } from './dom.js';
import { count } from './format.js';

export function brokers(parameters, { signal }) {
  const notes = h('div', {});
  const list = table('Brokers', [
    { title: 'Broker', main: true, cell: (row) => [h('strong', {}, row.id), row.here && [' ', badge('quiet', 'this one')]] },
    { title: 'Clients reach it at', cell: (row) => h('code', {}, `${row.host}:${row.port}`) },
    { title: 'Rack', wide: true, cell: (row) => row.rack || '–' },
    { title: 'Incarnation', number: true, wide: true, cell: (row) => count(row.incarnation) },
    { title: 'Leads', number: true, cell: (row) => count(row.leads) },
    { title: 'State', cell: (row) => (row.draining ? badge('warn', 'draining') : row.listed ? badge('ok', 'listed') : badge('warn', 'not listed')) },
  ], (row) => row.id, 'No broker is listed.');
  const element = h('div', {}, h('h1', {}, 'Brokers'), notes, list.element,
    h('p', { class: 'hint' }, 'Each broker has an admin address of its own: offsets, records and group lag of what it leads are there.'));
  return {
    title: 'Brokers',
    element,
    isLive: () => true,
    async refresh() {
      const answer = await get('brokers', {}, signal);
      list.fill(answer.brokers);
      replace(notes, answer.recovering.map(({ incarnation, waits_for: waits }) =>
        message('warn', `Incarnation ${incarnation} is being recovered${waits ? `; it waits for ${waits}` : ''}.`)));
    },
  };
}
