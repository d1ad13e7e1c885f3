// The frame: which view is shown, and the look at the broker every two seconds that all views share.

import { get, Refused } from './api.js';
import { h, replace, message } from './dom.js';
import { duration, time } from './format.js';
import { History } from './chart.js';
import { overview } from './overview.js';
import { brokers } from './brokers.js';
import { topics, topic } from './topics.js';
import { groups, group } from './groups.js';
import { records } from './records.js';
import { store } from './store.js';

const VIEWS = { '': overview, brokers, topics, topic, records, groups, group, store };
// In which tab a view stands.
const TAB = { topic: 'topics', records: 'topics', group: 'groups' };
const EVERY_MS = 2000;
const SLOWEST_MS = 15_000;
// Until there are two looks, which a rate needs, and three, which make a line.
const FIRST_MS = 700;

const main = document.getElementById('main');
const state = document.getElementById('state');
const who = document.getElementById('who');

/** What views share: the looks so far, and the newest of them. */
const shared = { history: new History(), latest: null, lost: null };
let current = null;
let wait = EVERY_MS;
let timer = 0;

function address() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { name: Object.hasOwn(VIEWS, path) ? path : null, parameters: Object.fromEntries(new URLSearchParams(query ?? '')) };
}

function open(focus) {
  const { name, parameters } = address();
  current?.stopped.abort();
  const stopped = new AbortController();
  const trouble = h('div', {});
  const content = h('div', {});
  current = { name, stopped, trouble, view: null, busy: null };
  for (const tab of document.querySelectorAll('#nav a')) {
    const is = (tab.hash.replace(/^#\/?/, '') || '') === (TAB[name] ?? name ?? '-');
    if (is) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  replace(main, trouble, content);
  if (name === null) {
    document.title = 'Floe';
    replace(trouble, message('warn', 'There is no such view.'));
    return;
  }
  const view = VIEWS[name](parameters, { shared, signal: stopped.signal, refresh: () => refresh(current) });
  current.view = view;
  replace(content, view.element);
  document.title = `${view.title} · Floe`;
  if (focus) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  refresh(current);
}

/** Has the view that is shown read what it shows; what goes wrong is told above it. */
async function refresh(shown) {
  shown.again = shown.busy !== null;
  if (shown.again || !shown.view) return;
  shown.busy = shown.view.refresh().then(() => replace(shown.trouble), (error) => {
    if (shown.stopped.signal.aborted) return;
    replace(shown.trouble, ...explain(error));
  });
  await shown.busy;
  shown.busy = null;
  if (shown.again && shown === current) await refresh(shown);
}

function explain(error) {
  if (!(error instanceof Refused)) return [message('bad', `The broker cannot be asked: ${error.message}`)];
  const { leader } = error;
  const there = leader && ` Ask broker ${leader.id} (clients reach it at ${leader.host}:${leader.port}) at its own admin address.`;
  const nobody = leader === null && ' Nobody leads it at the moment.';
  return [message(leader !== undefined || error.code === 403 ? 'warn' : 'bad', `${capital(error.message)}.`, there, nobody)];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** One look, and the next one later. */
async function look() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      shared.latest = await get('overview');
      shared.history.add(shared.latest);
      wait = shared.history.looks.length < 3 ? FIRST_MS : EVERY_MS;
      const was = shared.lost;
      shared.lost = null;
      if (current.view?.looked) current.view.looked();
      if (was || current.view?.isLive?.()) refresh(current);
    } catch (error) {
      shared.lost ??= { since: performance.now(), at: Date.now() };
      wait = Math.min(wait * 2, SLOWEST_MS);
      replace(current.trouble, message('bad', `The broker does not answer (${error.message}). What is shown is from ${time(shared.lost.at)} or before.`));
    }
    showState();
  }
  timer = setTimeout(look, wait);
}

function showState() {
  const { latest, lost } = shared;
  if (lost) {
    state.className = 'state bad';
    replace(state, h('span', { class: 'dot' }), `Not answering for ${duration(performance.now() - lost.since)}`);
    return;
  }
  state.className = `state ${latest.ready ? 'ok' : 'warn'}`;
  state.title = latest.reasons.join('; ');
  replace(state, h('span', { class: 'dot' }), latest.ready ? 'Ready' : 'Not ready');
  const broker = latest.broker === undefined ? 'starting' : `broker ${latest.broker}`;
  replace(who, h('span', {}, broker), latest.engine && h('span', { class: 'cluster', title: 'Cluster' }, latest.engine.cluster), h('span', { class: 'version' }, latest.version));
}

window.addEventListener('hashchange', () => open(true));
// The link that skips to the content is no view.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
open(false);
look();
