// Does the work that the service wants to see before it takes a request, while the visitor types.

/** @type {Hex} */
const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");

const unhex = (text = "") => Uint8Array.from({ length: text.length / 2 }, (_, place) => parseInt(text.substr(place * 2, 2), 16));

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
export const take = async service => {
  const solution = await prepare(service);
  work = undefined; // it is good for one request
  // Who sends faster than a person can type is suspected.
  await new Promise(done => setTimeout(done, since + 2100 - Date.now()));
  return solution;
};
