// Solves the challenge that the service sets while the visitor types, sends a request, and follows it.

/** @param {number} ms */
const sleep = ms => new Promise(done => setTimeout(done, ms));

/** @type {Hex} */
const hex = bytes => bytes.reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");

/** @param {string} text */
const unhex = text => Uint8Array.from(text.match(/../g) || [], byte => parseInt(byte, 16));

/** @type {Solve} */
export const solve = async challenge => {
  const { nonce, salt, cost, keyLength, keyPrefix } = challenge.parameters;
  const password = unhex(nonce + "00000000");
  const how = { name: "PBKDF2", hash: "SHA-256", salt: unhex(salt), iterations: cost };
  for (let counter = 0; ; counter++) {
    new DataView(password.buffer).setUint32(password.length - 4, counter);
    // The browser derives off the page's own thread, so nothing here blocks the page.
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const derivedKey = hex(new Uint8Array(await crypto.subtle.deriveBits(how, key, keyLength * 8)));
    if (derivedKey.startsWith(keyPrefix)) return btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
  }
};

/** @type {Promise<string> | undefined} */
let work;
let since = 0;

/** @type {Prepare} */
export const prepare = ({ get, name }) => {
  if (!work || Date.now() - since > 540_000) {
    since = Infinity;
    work = get("challenge?site=" + name).then(challenge => {
      since = Date.now();
      return solve(challenge);
    });
    // Tried again when it is needed.
    work.catch(() => { work = undefined; });
  }
  return work;
};

/** @type {Take} */
const take = async service => {
  const solution = await prepare(service);
  work = undefined; // it is good for one request
  // Who sends faster than a person can type is suspected.
  await sleep(since + 2100 - Date.now());
  return solution;
};

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
    request_id: hex(crypto.getRandomValues(new Uint8Array(16))),
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
  Date.parse(/** @type {string} */ (call_expected_at)) - Date.parse(created_at) < 90_000;

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
