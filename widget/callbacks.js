// Solves the proof of work while the visitor types, sends a request, and polls its status.

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
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt: unhex(salt), iterations: cost };
  for (let counter = 0; ; counter++) {
    new DataView(password.buffer).setUint32(password.length - 4, counter);
    // Browsers derive keys outside the main thread, so the page stays responsive.
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const derivedKey = hex(new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, keyLength * 8)));
    if (derivedKey.startsWith(keyPrefix)) return btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
  }
};

/** @type {ReturnType<Prepare> | undefined} */
let prepared;

/** @type {Prepare} */
export const prepare = service =>
  prepared ||= service.fetchJson("challenge?site=" + service.name, "parameters")
    // The service holds requests that come faster than a person can type.
    .then(challenge => Promise.all([solve(challenge), sleep(2100)]))
    .catch(error => {
      prepared = undefined;
      throw error;
    });

/** @type {TakeSolution} */
const takeSolution = async service => {
  const solution = prepare(service);
  prepared = undefined; // A solution is valid for one request.
  return (await solution)[0];
};

/** @type {Complete} */
export const complete = ({ landing }, fields) => {
  const page = new URL(location.href);
  // A single-page application may drop the UTM parameters of the landing page from its address.
  if (!/utm_/.test(page.search)) for (const [name, value] of new URLSearchParams(landing))
    if (/^utm_/.test(name)) page.searchParams.append(name, value);
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

/** @type {Track} */
export const track = (service, settings, event, detail) => {
  service.emit(event, detail);
  // In a task of its own: an exception in the page's analytics must not stop the widget.
  if (settings) setTimeout(() => {
    const { data_layer, gtag, metrika } = settings.analytics;
    const goal = "chaser_callback_" + event;
    if (data_layer) (window.dataLayer ||= []).push({ event: goal });
    if (gtag) window.gtag?.("event", goal);
    if (metrika) window.ym?.(metrika, "reachGoal", goal);
  });
};

/** @type {(service: Service, callback: Callback) => Promise<void>} */
const poll = async (service, callback) => {
  let { id, status } = callback;
  for (let wait = 1; wait < 11 && isNow(callback) && status === "queued"; wait++) {
    await sleep(wait * 1000);
    const now = await service.fetchJson("callbacks/" + id, "id").catch(() => {});
    if (now && now.status !== status) {
      status = now.status;
      service.emit("status", now);
    }
  }
};

/** @type {Submit} */
export const submit = async (service, fields) => {
  const request = { ...complete(service, fields), site: service.name };
  /** @param {boolean} [isChallenged] */
  const send = async isChallenged => {
    const body = JSON.stringify(isChallenged ? { ...request, challenge: await takeSolution(service) } : request);
    // Without keepalive the browser drops the request when the visitor leaves the page.
    const post = () => service.fetchJson("callbacks", "id",
      { method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body });
    return post().catch(async error => {
      if (error.status && error.status !== 503) throw error;
      await sleep(1000);
      return post();
    });
  };
  // Without settings the request is sent all the same: the service's answer explains the error best.
  const settings = await service.loadSettings().catch(() => {});
  try {
    const callback = await send(settings?.challenge).catch(error => {
      // The challenge expires while the dialog stays open, or when the computer's clock is changed.
      if (/^challenge_/.test(error.code)) return send(true);
      throw error;
    });
    track(service, settings, "accepted", callback);
    poll(service, callback);
    return callback;
  } catch (/** @type {any} */ error) {
    if (!error.errors) error = service.apiError("error");
    track(service, settings, "refused", { ...error });
    throw error;
  }
};
