// Chaser Callback: shows the button, offers window.chaserCallback, loads the dialog on first intent.
// For owners: docs/site-owners.md.
(() => {
  // A module has no currentScript.
  const script = /** @type {HTMLScriptElement} */ (
    document.currentScript || document.querySelector("[src*='/widget']"));
  const { site: name = "", lang: wish = "" } = script.dataset;
  const base = new URL(".", script.src).href;
  /** @param {string} text */
  const warn = text => console.warn("Chaser Callback: " + text);

  // Names unlike ours belong to other tools.
  for (const given of script.getAttributeNames()) {
    const meant = given.replace(/^data-s[ite]{2}.*/, "data-site").replace(/^data-l[ang]{2}.*/, "data-lang");
    if (given !== meant) warn(`${given} is unknown. Did you mean ${meant}?`);
  }
  if (!name) return warn('the script tag needs data-site="…".');
  // An element with this id would be no stub.
  const stub = window.chaserCallback;
  const queue = stub?.q;
  if (queue && !Array.isArray(queue)) return warn("this page has a second script tag.");

  /** @type {Make} */
  const make = (tag, properties, ...children) => {
    /** @type {any} */
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const [lang] = /** @type {Language[]} */ (
    /\b(ru|en)\b/.exec([wish, document.documentElement.lang, ...navigator.languages].join().toLowerCase()) || ["en"]);
  const host = make("chaser-callback", { hidden: true });
  const root = host.attachShadow({ mode: "open" });
  // Not into <body>, whose content applications replace.
  const attach = () => {
    watcher.observe(document.documentElement, { childList: true });
    if (host.isConnected) return;
    document.documentElement.append(host);
    // Above every z-index of the page.
    root.querySelector("button")?.showPopover?.();
  };
  // Later each time: a page that takes the element away whenever it sees it must not stand still over that.
  let returns = 0;
  const watcher = new MutationObserver(() => { if (!host.isConnected) setTimeout(attach, 9 * returns++); });
  watcher.observe(document, { childList: true });
  attach();
  // Where the page has a fetch of its own, the browser's is in an empty frame.
  const frame = !/\[native code]/.test(`${window.fetch}`) && root.appendChild(make("iframe", { hidden: true }));

  /** @type {Refuse} */
  const refuse = (code, status = 0, errors = [], retry_after = 0) =>
    Object.assign(new Error(code), { code, status, errors, retry_after });
  /** @type {Ask} */
  const ask = async (path, key, options) => {
    const answer = await /** @type {Window} */ (frame ? frame.contentWindow : window).fetch(`${base}v1/${path}`,
      { credentials: "omit", signal: AbortSignal.timeout(10_000), ...options }).catch(() => {});
    const said = await answer?.json().catch(() => {});
    if (!answer || answer.ok && !said?.[key]) throw refuse("network");
    if (answer.ok) return said;
    // Others than the service may answer in JSON too.
    const errors = /** @type {any[]} */ ([]).concat(said?.errors).filter(error => error?.field);
    throw refuse(`${said?.code || "error"}`, answer.status, errors, Number(answer.headers.get("retry-after")) || 0);
  };

  /** @param {string} css */
  const adopt = css => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets.push(sheet);
  };
  /** @type {Emit} */
  const emit = (event, detail) =>
    host.dispatchEvent(new CustomEvent("chaser-callback:" + event, { bubbles: true, detail }));
  // A page whose origin is not allowed gets no answer that it may read.
  const explain = (status = 0) => {
    const setting = `${base} needs the setting SITES__${name.toUpperCase()}__`;
    if (status === 404) warn(`data-site is wrong, or ${setting}SITE_ID`);
    if (!status || status === 403 || status > 499)
      warn(`no answer. If it is up, ${setting}ORIGINS=["${origin}"]`);
  };

  // For a contrast of 4.5:1 (WCAG 1.4.3) a colour is darkened to a lightness of .53 under white text; a light one, from
  // .72 on, stays under black text.
  /** @param {Site} site */
  const show = ({ theme: { color, scheme, button, icon, position, offset_x, offset_y, corner }, texts }) => {
    adopt(`:host{all:initial!important;display:contents!important;direction:ltr!important;--chaser-color:${color};
--chaser-corner:${corner}px;--chaser-x:${offset_x}px;--chaser-y:${offset_y}px;--chaser-font:system-ui,sans-serif}
:host>*{--fill:var(--chaser-color);--on:#fff;color-scheme:${scheme === "auto" ? "light dark" : scheme};
font:medium/1.45 var(--chaser-font)}
@supports (color:oklch(from red l c h)){
:host>*{--fill:oklch(from var(--chaser-color) min(l,.53 + max(0,(l - .72) * 999)) c h);
--on:oklch(from var(--chaser-color) calc((.72 - l) * 999) 0 0)}
}
button{background:var(--fill) border-box;color:var(--on);font:inherit;font-weight:600;cursor:pointer}
.fab{position:fixed;inset:auto;${position}:calc(var(--chaser-x) + env(safe-area-inset-${position}));
bottom:calc(var(--chaser-y) + env(safe-area-inset-bottom));display:flex;align-items:center;gap:10px;height:56px;
margin:0;padding:0 22px 0 16px;border:2px solid #0000;border-radius:var(--chaser-corner);
font-weight:600;box-shadow:0 8px 24px #0004}
.icon:before{content:"";width:24px;height:24px;background:currentColor;forced-color-adjust:none;
clip-path:path("${icon || "M3 5q0-2 2-2h3l2 6-2 2q2 3 5 5l2-2 6 2v3q0 2-2 2A16 16 0 0 1 3 5z"}")}
@media (max-width:599px){.fab{padding:0 14px}.fab span{display:none}}
@media print{.fab{display:none}}`);
    if (!button) return;
    const label = texts[lang]?.button || { ru: "Заказать звонок", en: "Request a call" }[lang];
    const fab = make("button", {
      className: "fab icon", lang, ariaLabel: label, popover: "manual",
      onpointerenter: prepare, onfocus: prepare,
    }, make("span", {}, label));
    fab.toggleAttribute("data-chaser-callback");
    root.append(fab);
    fab.showPopover?.();
  };

  /** @param {string} file */
  const use = file => import(`${base}widget/__VERSION__/${file}.js`).catch(() => { throw refuse("network"); });
  /** @type {Promise<Site> | undefined} */
  let site;
  /** @type {Promise<Dialog | void> | undefined} */
  let dialog;
  let isWanted = false;

  // These two forget a failure, so the next call tries again.
  const start = () => site ||= ask("sites/" + name, "site").then((/** @type {Site} */ facts) => {
    if (!facts.allowed) throw refuse("", 403);
    show(facts);
    api.ready = true;
    if (Object.values(facts.triggers).some(Boolean)) prepare();
    emit("ready", facts);
    return facts;
  }).catch(cause => {
    site = undefined;
    explain(cause.status);
    throw cause;
  });
  const prepare = () => dialog ||= Promise.all([start(), use("dialog"), use("messages." + lang)])
    .then(([facts, { create }, { words }]) => create({
      service, make, adopt, root, lang, words: { ...words, ...facts.texts[lang] }, site: facts, api,
    }))
    .catch(() => { dialog = undefined; });

  /** @type {Service} */
  const service = { name, landing: location.search, refuse, ask, emit, settings: start };
  const api = Object.assign(queue ? stub : {}, /** @type {Api} */ ({
    ready: false,
    open(link) {
      isWanted = true;
      prepare().then(made => made ? isWanted && made.open() : site?.then(({ phone }) => {
        const way = link?.href || phone && "tel:" + phone;
        if (way) location.assign(way);
      }));
    },
    close() {
      isWanted = false;
      dialog?.then(made => made?.close());
    },
    submit: fields => use("callbacks").then(({ submit }) => submit(service, fields)),
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
  api.on("refused", ({ status }) => { if (status < 500) explain(status); });

  // Ahead of the page's own listeners: they may stop the event.
  addEventListener("click", event => {
    const pressed = /** @type {HTMLAnchorElement | undefined} */ (event.composedPath().find(node =>
      node instanceof Element && node.hasAttribute("data-chaser-callback")));
    // A link stays a link while the service can't be reached.
    if (!pressed || pressed.href && !api.ready) return;
    event.preventDefault();
    api.open(pressed);
  }, true);

  start().catch(() => {});
  queue?.forEach(call => api.q.push(call));
})();
