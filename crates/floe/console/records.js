// Records of a partition. What they hold is shown as text, whatever it looks like.

import { get } from './api.js';
import { h, href, link, message, remember, replace } from './dom.js';
import { bytes, count, hexdump, pretty, time } from './format.js';

const FULL_PART = 1 << 20;
const PREVIEW = 300;
const COUNTS = [25, 50, 100, 500];

export function records(parameters, { signal, refresh, shared }) {
  const topic = parameters.topic ?? '';
  const asked = {
    partition: Number(parameters.partition) || 0,
    offset: parameters.offset,
    time: parameters.time,
    from: parameters.from,
    count: COUNTS.includes(Number(parameters.count)) ? Number(parameters.count) : 50,
  };
  // What the last answer showed, for the steps to older and newer records.
  let shown = { first: 0, next: 0, log_start: 0, committed: 0 };
  const go = (change) => {
    Object.assign(asked, { offset: undefined, time: undefined, from: undefined }, change);
    remember('records', { topic, ...asked });
    setForm();
    refresh();
  };

  const partition = h('input', { type: 'number', min: 0, step: 1, value: asked.partition, id: 'partition', required: true });
  const begin = h('select', { id: 'begin', on: { change: () => adapt() } },
    [['end', 'newest'], ['start', 'oldest'], ['offset', 'offset'], ['time', 'time']].map(([value, text]) => h('option', { value }, text)));
  const at = h('input', { type: 'number', min: 0, step: 1, 'aria-label': 'Offset' });
  const when = h('input', { type: 'datetime-local', step: 1, 'aria-label': 'Time' });
  const many = h('select', { id: 'count' }, COUNTS.map((value) => h('option', { value, selected: value === asked.count }, value)));
  const follow = h('input', { type: 'checkbox', on: { change: () => { if (follow.checked) go({ from: 'end' }); } } });
  const form = h('form', { class: 'tools', on: { submit: (event) => { event.preventDefault(); submit(); } } },
    h('label', { for: 'partition' }, 'Partition', partition),
    h('label', { for: 'begin' }, 'From', begin), at, when,
    h('label', { for: 'count' }, 'Records', many),
    h('button', { type: 'submit', class: 'primary' }, 'Show'),
    h('label', {}, follow, 'Follow'));
  const where = h('p', { class: 'hint', role: 'status' });
  const notes = h('div', {});
  const list = h('div', { class: 'records' });
  const older = h('button', { type: 'button', on: { click: () => go({ offset: Math.max(shown.log_start, shown.first - asked.count) }) } }, 'Older');
  const newer = h('button', { type: 'button', on: { click: () => go({ offset: shown.next }) } }, 'Newer');
  const steps = h('div', { class: 'pager', role: 'group', 'aria-label': 'Older and newer records', hidden: true }, older, newer);
  const element = h('div', {},
    h('p', { class: 'path' }, link('topics', {}, 'Topics'), ' / ', link('topic', { name: topic }, topic)),
    h('h1', {}, 'Records'), form, where, notes, list, steps);

  function adapt() {
    at.hidden = begin.value !== 'offset';
    when.hidden = begin.value !== 'time';
  }

  function setForm() {
    partition.value = asked.partition;
    begin.value = asked.offset !== undefined ? 'offset' : asked.time !== undefined ? 'time' : asked.from ?? 'end';
    at.value = asked.offset ?? '';
    if (asked.time !== undefined) when.value = time(Number(asked.time)).replace(' ', 'T');
    if (asked.from !== 'end') follow.checked = false;
    adapt();
  }

  function submit() {
    const change = { partition: Number(partition.value), count: Number(many.value) };
    if (begin.value === 'offset') change.offset = Number(at.value) || 0;
    else if (begin.value === 'time') change.time = when.value ? new Date(when.value).getTime() : 0;
    else change.from = begin.value;
    follow.checked &&= change.from === 'end';
    go(change);
  }

  setForm();
  return {
    title: `${topic} ${asked.partition}`,
    element,
    // History costs requests to the store: only who follows the end has it read again.
    isLive: () => follow.checked && shared.latest?.ready,
    async refresh() {
      let answer;
      try {
        answer = await get('records', { topic, ...asked }, signal);
      } catch (error) {
        replace(list);
        replace(where);
        steps.hidden = true;
        throw error;
      }
      const { records: found } = answer;
      shown = { first: found[0]?.offset ?? answer.next, next: answer.next, log_start: answer.log_start, committed: answer.committed };
      replace(where, describe(answer, found));
      replace(notes, answer.notes.map((note) => message('warn', note)));
      update(list, found, asked.partition, (record) => one(record, { topic, partition: asked.partition }));
      older.disabled = shown.first <= shown.log_start;
      newer.disabled = !answer.more;
      steps.hidden = older.disabled && newer.disabled;
    },
  };
}

function describe(answer, found) {
  const all = `the partition goes from ${answer.log_start} to ${answer.committed - 1}`;
  if (answer.committed === answer.log_start) return 'The partition is empty.';
  if (found.length === 0) return `No records here; ${all}.`;
  return `${count(found.length)} ${found.length === 1 ? 'record' : 'records'}, ${found[0].offset} to ${found.at(-1).offset}; ${all}.`;
}

/** Records that are shown already stay as they are: open, where somebody has opened them. */
function update(list, found, partition, make) {
  const known = new Map([...list.children].map((child) => [child.dataset.at, child]));
  const nodes = found.map((record) => {
    const name = `${partition}/${record.offset}/${record.timestamp}`;
    const before = known.get(name);
    if (before) return before;
    const node = make(record);
    node.dataset.at = name;
    return node;
  });
  list.replaceChildren(...nodes);
}

function one(record, place) {
  const body = h('div', { class: 'body' });
  const fill = () => { if (body.childElementCount === 0) replace(body, details(record, place)); };
  const element = h('details', { class: 'record', on: { toggle: fill } },
    h('summary', {},
      h('span', { class: 'offset' }, record.offset),
      h('span', { class: 'time' }, time(record.timestamp, true)),
      h('span', { class: 'key' }, preview(record.key)),
      h('span', { class: 'text' }, preview(record.value))),
    body);
  return element;
}

/** On one line. */
function preview(part) {
  if (!part) return h('i', { class: 'muted' }, 'null');
  if (part.hex !== undefined) return h('span', { class: 'muted' }, `${part.hex.slice(0, 64).replace(/(..)/g, '$1 ').trim()} (${bytes(part.size)})`);
  if (part.size === 0) return h('i', { class: 'muted' }, 'empty');
  return part.text.slice(0, PREVIEW).replace(/\s+/g, ' ');
}

function details(record, place) {
  const parts = [['Key', record.key], ['Value', record.value]].map(([name, part]) => h('section', {}, h('h3', {}, name, ' ', kind(part)), content(part)));
  const headers = record.headers.length > 0 && h('section', {}, h('h3', {}, `Headers (${count(record.header_count)})`),
    h('dl', { class: 'headers' }, record.headers.map(({ name, value }) => [h('dt', {}, plain(name)), h('dd', {}, plain(value))])),
    record.header_count > record.headers.length && h('p', { class: 'hint' }, `The first ${count(record.headers.length)} are shown.`));
  const isCut = [record.key, record.value, ...record.headers.flatMap(({ name, value }) => [name, value])].some((part) => part?.cut && part.text !== undefined);
  const full = isCut && h('button', { type: 'button', on: { click: (event) => showFull(event.target, record, place) } }, 'Show all of it');
  const here = h('a', { href: href('records', { ...place, topic: place.topic, offset: record.offset }) }, 'Link to this record');
  return [...parts, headers, h('p', { class: 'actions' }, full, here)];
}

async function showFull(button, record, place) {
  button.disabled = true;
  try {
    const answer = await get('records', { ...place, offset: record.offset, count: 1, part: FULL_PART, bytes: 4 * FULL_PART });
    const whole = answer.records[0];
    if (whole?.offset !== record.offset) throw new Error('the record is not there any more');
    replace(button.closest('.body'), details(whole, place));
  } catch (error) {
    button.after(message('bad', error.message));
  }
}

function kind(part) {
  if (!part) return h('small', {}, 'null');
  const what = part.hex !== undefined ? 'bytes' : part.json ? 'JSON' : 'text';
  return h('small', {}, `${what}, ${bytes(part.size)}${part.cut ? ', the beginning' : ''}`);
}

function content(part) {
  if (!part) return null;
  if (part.hex !== undefined) return h('pre', { class: 'hex', tabindex: 0 }, hexdump(part.hex));
  if (part.size === 0) return null;
  return h('pre', { tabindex: 0 }, part.json ? pretty(part.text) : part.text);
}

const plain = (part) => (part === null ? h('i', { class: 'muted' }, 'null') : part.hex !== undefined ? `0x${part.hex}` : part.text);
