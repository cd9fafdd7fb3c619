// Sends a request and follows it.

const sleep = (ms = 0) => new Promise(done => setTimeout(done, ms));

// crypto.randomUUID needs HTTPS.
const newRequestId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");

/** @type {(fields: Fields) => Fields} */
export const complete = fields =>
  ({ active_page: location.href, referrer: document.referrer, request_id: newRequestId(), ...fields });

/** @type {(base: string, body: string) => Promise<Callback>} */
const post = async (base, body) => {
  let refusal = { code: "network", status: 0, errors: [], retry_after: 0 };
  try {
    const answer = await fetch(base + "v1/callbacks", {
      method: "POST",
      mode: "cors",
      credentials: "omit",
      keepalive: true, // the visitor may be leaving the page
      headers: { "content-type": "application/json" },
      signal: AbortSignal.timeout(10_000),
      body,
    });
    const { ok, status, headers } = answer;
    const said = await answer.json().catch(() => ({}));
    if (ok && said.id) return said;
    // A 202 cut off on its way is no answer.
    if (!ok) refusal = { code: "error", errors: [], ...said, status, retry_after: +(headers.get("retry-after") || 0) };
  } catch {}
  throw Object.assign(new Error(refusal.code), refusal);
};

/** @type {IsNow} */
export const isNow = ({ created_at, call_expected_at }) =>
  Date.parse(call_expected_at || "") - Date.parse(created_at) < 90_000;

/** @type {(base: string, callback: Callback, emit: Emit) => Promise<void>} */
const follow = async (base, callback, emit) => {
  let { id, status } = callback;
  for (let wait = 1; wait < 11 && isNow(callback) && /held|queued|sending/.test(status); wait++) {
    await sleep(wait * 1000);
    const now = await fetch(base + "v1/callbacks/" + id, { credentials: "omit" })
      .then(answer => answer.ok && answer.json()).catch(() => {});
    if (now && now.status !== status) {
      status = now.status;
      emit("status", now);
    }
  }
};

/** @type {Submit} */
export const submit = async (base, site, fields, emit) => {
  const body = JSON.stringify({ ...complete(fields), site });
  try {
    const callback = await post(base, body).catch(async refusal => {
      if (refusal.status && refusal.status !== 503) throw refusal;
      await sleep(1000);
      return post(base, body);
    });
    emit("accepted", callback);
    follow(base, callback, emit);
    return callback;
  } catch (error) {
    const { code, status, errors, retry_after } = /** @type {Refusal} */ (error);
    emit("refused", { code, status, errors, retry_after });
    throw error;
  }
};
