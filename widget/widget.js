// Chaser Callback: shows the button, offers window.chaserCallback, loads the dialog on first intent. See demo.html.
(() => {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  const { site: name = "", lang: wish = "" } = script.dataset;
  const base = new URL(".", script.src).href;
  const warn = (text = "") => console.warn("Chaser Callback: " + text);

  for (const given of script.getAttributeNames()) {
    // Names unlike ours belong to other tools.
    const [, like] = /^data-(sit|lan)/.exec(given) || [];
    const meant = like === "sit" ? "data-site" : "data-lang";
    if (like && given !== meant) warn(`${given} is unknown. Did you mean ${meant}?`);
  }
  if (!name) return warn('the script tag needs data-site="…".');
  const stub = window.chaserCallback;
  const queue = stub ? stub.q : [];
  if (!Array.isArray(queue)) return warn("this page has a second script tag.");

  /** @type {Make} */
  const make = (tag, properties, ...children) => {
    /** @type {any} */
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const [lang] = /** @type {Language[]} */ (
    /\b(ru|en)\b/.exec([wish, document.documentElement.lang, ...navigator.languages].join().toLowerCase()) || ["en"]);
  const host = make("chaser-callback");
  const root = host.attachShadow({ mode: "open" });
  // Not into <body>, whose content applications replace.
  document.documentElement.append(host);

  const adopt = (css = "") => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets.push(sheet);
  };
  /** @type {Emit} */
  const emit = (event, detail) =>
    host.dispatchEvent(new CustomEvent("chaser-callback:" + event, { bubbles: true, composed: true, detail }));
  // A page whose origin is not allowed gets no answer that it may read.
  const explain = (status = 0) => {
    const setting = `${base} needs the setting SITES__${name.toUpperCase()}__`;
    if (status === 404) warn(`data-site is wrong, or ${setting}SITE_ID`);
    if (!status || status === 403) warn(`no answer. If it is up, ${setting}ORIGINS=["${location.origin}"]`);
  };

  // For a contrast of 4.5:1 (WCAG 1.4.3) a colour is darkened to a lightness of .53 under white text; a light one, from
  // .72 on, stays under black text.
  /** @param {Site} site */
  const show = ({ theme: { color, position }, texts }) => {
    adopt(`:host { all: initial !important; direction: ltr !important }
:host > * { --fill: ${color}; --on: #fff;
font: 16px/1.45 -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif }
@supports (color: oklch(from red l c h)) {
:host > * { --fill: oklch(from ${color} min(l, .53 + max(0, (l - .72) * 999)) c h);
--on: oklch(from ${color} calc((.72 - l) * 999) 0 0) }
}
.fab { position: fixed; z-index: 2147483000; ${position}: 20px; bottom: calc(20px + env(safe-area-inset-bottom));
display: flex; align-items: center; gap: 10px; height: 56px; padding: 0 22px 0 16px; border: 2px solid #0000;
border-radius: 28px; background: var(--fill) border-box; color: var(--on); font-weight: 600; cursor: pointer;
box-shadow: 0 8px 24px #0004 }
.fab:focus-visible { outline: 2px solid #fff; box-shadow: 0 0 0 5px #111 }
.icon:before { content: ""; width: 24px; height: 24px; background: currentColor; 
clip-path: path("M3 5q0-2 2-2h3l2 6-2 2q2 3 5 5l2-2 6 2v3q0 2-2 2A16 16 0 0 1 3 5z") }
@media (max-width: 599px) { .fab { padding: 0 14px } .fab span { display: none } }
@media print { .fab { display: none } }
@media (forced-colors: active) { .icon:before { background: CanvasText } }`);
    const label = texts[lang]?.button || { ru: "Заказать звонок", en: "Request a call" }[lang];
    root.append(make("button", {
      className: "fab icon", lang, ariaLabel: label,
      onclick: api.open, onpointerenter: prepare, onfocus: prepare, ontouchstart: prepare,
    }, make("span", {}, label)));
  };

  const use = (file = "") => import(`${base}widget/__VERSION__/${file}.js`);
  /** @type {Promise<Site> | undefined} */
  let site;
  /** @type {Promise<Dialog | void> | undefined} */
  let dialog;
  let isWanted = false;

  // These two forget a failure, so the next call tries again.
  const start = () => site ||= fetch(base + "v1/sites/" + encodeURIComponent(name), { credentials: "omit" })
    .then(answer => answer.ok ? answer.json() : Promise.reject(answer))
    .then(facts => {
      show(facts);
      api.ready = true;
      emit("ready", facts);
      return facts;
    })
    .catch(cause => {
      site = undefined;
      explain(cause.status);
      throw cause;
    });
  const prepare = () => dialog ||= Promise.all([start(), use("dialog")])
    .then(([facts, { create }]) => create({ make, adopt, root, lang, site: facts, api, emit }))
    .catch(() => { dialog = undefined; });

  const api = Object.assign(stub || {}, /** @type {Api} */ ({
    ready: false,
    open() {
      isWanted = true;
      prepare().then(made => made ? isWanted && made.open()
        : site?.then(({ phone }) => phone && location.assign("tel:" + phone)));
    },
    close() {
      isWanted = false;
      dialog?.then(made => made?.close());
    },
    submit: fields => use("callbacks").then(({ submit }) => submit(base, name, fields, emit)).catch(cause => {
      explain(cause.status);
      throw Object.assign(cause, { code: cause.code || "network" });
    }),
    on(event, fn) {
      const listener = (/** @type {any} */ { detail }) => fn(detail);
      addEventListener("chaser-callback:" + event, listener);
      if (event === "ready" && api.ready) site?.then(/** @type {any} */ (fn));
      return () => removeEventListener("chaser-callback:" + event, listener);
    },
    // Functions taken from the stub go on working.
    q: { push: ([method, args = [], resolve, reject]) =>
      new Promise(done => done(/** @type {any} */ (api)[method](...args))).then(resolve, reject) },
  }));
  window.chaserCallback = api;

  // Ahead of the page's own listeners: they may stop the event.
  addEventListener("click", event => {
    if (event.composedPath().some(node => node instanceof Element && node.hasAttribute("data-chaser-callback"))) {
      // A link stays a link while the service can't be reached.
      if (site) event.preventDefault();
      api.open();
    }
  }, true);

  start().catch(() => {});
  queue.forEach(call => api.q.push(call));
})();
