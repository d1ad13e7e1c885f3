// What the broker answers: JSON, or why not.

const TIMEOUT_MS = 15_000;

/** The broker has said no; `leader` is who to ask instead, where it says so. */
export class Refused extends Error {
  constructor(code, body) {
    super(body.error ?? `the broker answers with code ${code}`);
    this.code = code;
    this.leader = body.leader;
  }
}

/** Asks `/api/<path>` with parameters; those without a value are left out. */
export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) query.set(name, String(value));
  }
  const late = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(`/api/${path}?${query}`, {
    signal: signal ? AbortSignal.any([signal, late]) : late,
    headers: { accept: 'application/json' },
  });
  let body = {};
  try {
    body = await answer.json();
  } catch {
    if (answer.ok) throw new Error('the answer is no JSON');
  }
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}
