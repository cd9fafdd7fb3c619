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

/** @type {ReturnType<Prepare> | undefined} */
let work;

/** @type {Prepare} */
export const prepare = ({ ask, name }) =>
  work ||= ask("challenge?site=" + name, "parameters")
    // Who sends faster than a person can type is suspected.
    .then(challenge => Promise.all([solve(challenge), sleep(2100)]))
    .catch(cause => {
      work = undefined;
      throw cause;
    });

/** @type {Take} */
const take = async service => {
  const mine = prepare(service);
  work = undefined; // it is good for one request
  return (await mine)[0];
};

/** @type {Complete} */
export const complete = ({ landing }, fields) => {
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

/** @type {IsNow} */
export const isNow = ({ created_at, call_expected_at }) =>
  Date.parse(/** @type {string} */ (call_expected_at)) - Date.parse(created_at) < 90_000;

/** @type {Tell} */
export const tell = ({ emit }, facts, event, detail) => {
  emit(event, detail);
  // What breaks in there stops nothing here.
  if (facts) setTimeout(() => {
    const { data_layer, gtag, metrika } = facts.analytics;
    const goal = "chaser_callback_" + event;
    if (data_layer) (window.dataLayer ||= []).push({ event: goal });
    if (gtag) window.gtag?.("event", goal);
    if (metrika) window.ym?.(metrika, "reachGoal", goal);
  });
};

/** @type {(service: Service, callback: Callback) => Promise<void>} */
const follow = async ({ ask, emit }, callback) => {
  let { id, status } = callback;
  for (let wait = 1; wait < 11 && isNow(callback) && /queued|sending/.test(status); wait++) {
    await sleep(wait * 1000);
    const now = await ask("callbacks/" + id, "id").catch(() => {});
    if (now && now.status !== status) {
      status = now.status;
      emit("status", now);
    }
  }
};

/** @type {Submit} */
export const submit = async (service, fields) => {
  const { name, refuse, ask, settings } = service;
  const asked = { ...complete(service, fields), site: name };
  /** @param {boolean} [isChallenged] */
  const send = async isChallenged => {
    const body = JSON.stringify(isChallenged ? { ...asked, challenge: await take(service) } : asked);
    // The visitor may be leaving the page: keepalive.
    const post = () => ask("callbacks", "id",
      { method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body });
    return post().catch(async refusal => {
      if (refusal.status && refusal.status !== 503) throw refusal;
      await sleep(1000);
      return post();
    });
  };
  // Sent also where the settings do not come: the service says best what is wrong.
  const facts = await settings().catch(() => {});
  try {
    const callback = await send(facts?.challenge).catch(refusal => {
      // The dialog may have been open for long, or the computer's clock was set.
      if (/^challenge_/.test(refusal.code)) return send(true);
      throw refusal;
    });
    tell(service, facts, "accepted", callback);
    follow(service, callback);
    return callback;
  } catch (cause) {
    const refusal = /** @type {any} */ (cause).errors ? cause : refuse("error");
    tell(service, facts, "refused", { .../** @type {Refusal} */ (refusal) });
    throw refusal;
  }
};
