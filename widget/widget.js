// The loader: shows the button, provides window.chaserCallback, and loads the dialog on the first sign of intent.
// For site owners: docs/site-owners.md.
(() => {
  // A module has no currentScript.
  const script = /** @type {HTMLScriptElement} */ (
    document.currentScript || document.querySelector("[src*='/widget']"));
  const { site: name = "", lang: requestedLang = "" } = script.dataset;
  const base = new URL(".", script.src).href;
  /** @param {string} text */
  const warn = text => console.warn("Chaser Callback: " + text);

  // Warn about misspelt attributes only: other data attributes belong to other tools.
  for (const attribute of script.getAttributeNames()) {
    const expected = attribute.replace(/^data-s[ite]{2}.*/, "data-site").replace(/^data-l[ang]{2}.*/, "data-lang");
    if (attribute !== expected) warn(`${attribute} is unknown. Did you mean ${expected}?`);
  }
  if (!name) return warn('the script tag needs data-site="…".');
  // An element with this id is a member of window, too, but has no queue.
  const stub = window.chaserCallback;
  const queue = stub?.q;
  if (queue && !Array.isArray(queue)) return warn("this page has a second script tag.");

  /** @type {CreateElement} */
  const h = (tag, properties, ...children) => {
    /** @type {any} */
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const [lang] = /** @type {Language[]} */ (
    /\b(ru|en)\b/.exec([requestedLang, document.documentElement.lang, ...navigator.languages].join().toLowerCase())
    || ["en"]);
  const host = h("chaser-callback", { hidden: true });
  const root = host.attachShadow({ mode: "open" });
  // Not into <body>: applications replace its content.
  const attach = () => {
    watcher.observe(document.documentElement, { childList: true });
    if (host.isConnected) return;
    document.documentElement.append(host);
    // The top layer is above every z-index of the page.
    root.querySelector("button")?.showPopover?.();
  };
  // A growing delay: otherwise a page that always removes the element would freeze in a loop.
  let retries = 0;
  const watcher = new MutationObserver(() => { if (!host.isConnected) setTimeout(attach, 9 * retries++); });
  watcher.observe(document, { childList: true });
  attach();
  // If the page has replaced fetch, an empty frame still has the browser's own.
  const frame = !/\[native code]/.test(`${window.fetch}`) && root.appendChild(h("iframe", { hidden: true }));

  /** @type {ApiError} */
  const apiError = (code, status = 0, errors = [], retry_after = 0) =>
    Object.assign(new Error(code), { code, status, errors, retry_after });
  /** @type {FetchJson} */
  const fetchJson = async (path, key, options) => {
    const response = await /** @type {Window} */ (frame ? frame.contentWindow : window).fetch(`${base}v1/${path}`,
      { credentials: "omit", signal: AbortSignal.timeout(10_000), ...options }).catch(() => {});
    const body = await response?.json().catch(() => {});
    if (!response || response.ok && !body?.[key]) throw apiError("network");
    if (response.ok) return body;
    // A proxy or firewall may send JSON as well, of any shape.
    const errors = /** @type {any[]} */ ([]).concat(body?.errors).filter(error => error?.field);
    throw apiError(`${body?.code || "error"}`, response.status, errors,
      Number(response.headers.get("retry-after")) || 0);
  };

  /** @param {string} css */
  const addStyles = css => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets.push(sheet);
  };
  /** @type {Emit} */
  const emit = (event, detail) =>
    host.dispatchEvent(new CustomEvent("chaser-callback:" + event, { bubbles: true, detail }));
  // CORS hides every response from a page with an unknown origin, so no response may mean that.
  const explain = (status = 0) => {
    const setting = `${base} needs the setting SITES__${name.toUpperCase()}__`;
    if (status === 404) warn(`data-site is wrong, or ${setting}SITE_ID`);
    if (!status || status === 403 || status > 499)
      warn(`no answer. If it is up, ${setting}ORIGINS=["${origin}"]`);
  };

  // Contrast of 4.5:1 (WCAG 1.4.3): from an oklch lightness of .72 on the text is black. Below that it is white, and
  // the colour is darkened to at most .53.
  /** @param {Site} site */
  const show = ({ theme: { color, scheme, button, icon, position, offset_x, offset_y, corner }, texts }) => {
    addStyles(`:host{all:initial!important;display:contents!important;direction:ltr!important;--chaser-color:${color};
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
    const fab = h("button", {
      className: "fab icon", lang, ariaLabel: label, popover: "manual",
      onpointerenter: prepare, onfocus: prepare,
    }, h("span", {}, label));
    fab.toggleAttribute("data-chaser-callback");
    root.append(fab);
    fab.showPopover?.();
  };

  /** @param {string} file */
  const load = file => import(`${base}widget/__VERSION__/${file}.js`).catch(() => { throw apiError("network"); });
  /** @type {Promise<Site> | undefined} */
  let site;
  /** @type {Promise<Dialog | void> | undefined} */
  let dialog;
  let shouldOpen = false;

  // Both reset after a failure, so the next call tries again.
  const start = () => site ||= fetchJson("sites/" + name, "site").then((/** @type {Site} */ settings) => {
    if (!settings.allowed) throw apiError("", 403);
    show(settings);
    api.ready = true;
    if (Object.values(settings.triggers).some(Boolean)) prepare();
    emit("ready", settings);
    return settings;
  }).catch(error => {
    site = undefined;
    explain(error.status);
    throw error;
  });
  const prepare = () => dialog ||= Promise.all([start(), load("dialog"), load("messages." + lang)])
    .then(([settings, { create }, { words }]) => create({
      service, h, addStyles, root, lang, words: { ...words, ...settings.texts[lang] }, site: settings, api,
    }))
    .catch(() => { dialog = undefined; });

  /** @type {Service} */
  const service = { name, landing: location.search, apiError, fetchJson, emit, loadSettings: start };
  const api = Object.assign(queue ? stub : {}, /** @type {Api} */ ({
    ready: false,
    open(link) {
      shouldOpen = true;
      prepare().then(loaded => loaded ? shouldOpen && loaded.open() : site?.then(({ phone }) => {
        const url = link?.href || phone && "tel:" + phone;
        if (url) location.assign(url);
      }));
    },
    close() {
      shouldOpen = false;
      dialog?.then(loaded => loaded?.close());
    },
    submit: fields => load("callbacks").then(({ submit }) => submit(service, fields)),
    on(event, fn) {
      const listener = (/** @type {any} */ { detail }) => fn(detail);
      addEventListener("chaser-callback:" + event, listener);
      if (event === "ready" && api.ready) site?.then(/** @type {any} */ (fn));
      return () => removeEventListener("chaser-callback:" + event, listener);
    },
    // References that the page took from the stub keep working.
    q: { push: ([method, args = [], resolve, reject]) =>
      new Promise(done => done(/** @type {any} */ (api)[method](...args))).then(resolve, reject) },
  }));
  window.chaserCallback = api;
  api.on("refused", ({ status }) => { if (status < 500) explain(status); });

  // In the capture phase, before the page's own listeners: they may stop the event.
  addEventListener("click", event => {
    const opener = /** @type {HTMLAnchorElement | undefined} */ (event.composedPath().find(node =>
      node instanceof Element && node.hasAttribute("data-chaser-callback")));
    // Until the widget is ready a link works as a link.
    if (!opener || opener.href && !api.ready) return;
    event.preventDefault();
    api.open(opener);
  }, true);

  start().catch(() => {});
  queue?.forEach(call => api.q.push(call));
})();
