// Sends a request and follows it.
import { take } from "./challenge.js";

const sleep = (ms = 0) => new Promise(done => setTimeout(done, ms));

/** @type {Complete} */
export const complete = (landing, fields) => {
  const page = new URL(location.href);
  // An application that changes its address may drop the marks the visitor came with.
  if (!/utm_/.test(page.search)) for (const [mark, value] of new URLSearchParams(landing))
    if (/^utm_/.test(mark)) page.searchParams.append(mark, value);
  return {
    active_page: page.href,
    referrer: document.referrer,
    // crypto.randomUUID needs HTTPS.
    request_id: crypto.getRandomValues(new Uint32Array(4)).join("-"),
    ...fields,
  };
};

/** @type {(service: Service, body: string) => Promise<Callback>} */
const post = async ({ base, fetch }, body) => {
  /** @type {Refusal} */
  let refusal = { code: "network", status: 0, errors: [], retry_after: 0 };
  try {
    const answer = await fetch(base + "v1/callbacks", {
      method: "POST",
      credentials: "omit",
      keepalive: true, // the visitor may be leaving the page
      headers: { "content-type": "application/json" },
      signal: AbortSignal.timeout(10_000),
      body,
    });
    const { ok, status, headers } = answer;
    const said = await answer.json().catch(() => {}) || {};
    if (ok && said.id) return said;
    // A 202 cut off on its way is no answer. Others than the service may answer in JSON too.
    if (!ok) {
      const errors = /** @type {any[]} */ ([]).concat(said.errors).filter(error => error?.field);
      refusal = { code: `${said.code || "error"}`, status, errors, retry_after: Number(headers.get("retry-after")) };
    }
  } catch {}
  throw Object.assign(new Error(refusal.code), refusal);
};

/** @type {IsNow} */
export const isNow = ({ created_at, call_expected_at }) =>
  Date.parse(call_expected_at || "") - Date.parse(created_at) < 90_000;

/** @type {(service: Service, callback: Callback) => Promise<void>} */
const follow = async ({ get, emit }, callback) => {
  let { id, status } = callback;
  for (let wait = 1; wait < 11 && isNow(callback) && /held|queued|sending/.test(status); wait++) {
    await sleep(wait * 1000);
    const now = await get("callbacks/" + id).catch(() => {});
    if (now && now.status !== status) {
      status = now.status;
      emit("status", now);
    }
  }
};

/** @type {Submit} */
export const submit = async (service, fields) => {
  const { name, landing, emit } = service;
  const asked = { ...complete(landing, fields), site: name };
  const send = async () => {
    const body = JSON.stringify(service.challenge ? { ...asked, challenge: await take(service) } : asked);
    return post(service, body).catch(async refusal => {
      if (refusal.status && refusal.status !== 503) throw refusal;
      await sleep(1000);
      return post(service, body);
    });
  };
  try {
    const callback = await send().catch(refusal => {
      // The computer may have slept, or its clock was set.
      if (/challenge_(expired|too_fast)/.test(refusal.code)) return send();
      throw refusal;
    });
    emit("accepted", callback);
    follow(service, callback);
    return callback;
  } catch (error) {
    // The challenge may not have come.
    const { code = "network", status = 0, errors = [], retry_after = 0 } = /** @type {Refusal} */ (error);
    emit("refused", { code, status, errors, retry_after });
    throw error;
  }
};
