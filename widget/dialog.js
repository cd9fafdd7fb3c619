// The dialog: the form with number, time, department and consent; then the status of the request.
import { complete, isNow, prepare, track } from "./callbacks.js";
import { css } from "./styles.js";

// Milliseconds. A phone usually rings within this time.
const COUNTDOWN = 30_000;

// While a number is typed its digits are grouped, never changed: the service alone parses it.

// Digits, common separators and the invisible characters that copying adds. Any other text stays unformatted.
/** @param {string} text */
const isPlain = text => /^[\s(\p{Cf}]*\+?[\d\s().\p{Pd}−\p{Cf}]*$/u.test(text);
/** @param {string} text */
const digits = text => text.replace(/\D/g, "");

/** @type {Format} */
export const format = (text, regions) => {
  const plus = /^\W*\+/.test(text) ? "+" : "";
  const pattern = plus ? /^(7)(\d{1,14})$/ : /RU|KZ/.test(regions[0]) && /^([78](?=[34789])|(?=9))(\d{1,14})$/;
  const [all, prefix, rest] = pattern && isPlain(text) && pattern.exec(digits(text)) || [];
  return !rest ? text : rest.length > 10 ? plus + all
    : (plus + prefix + rest.replace(/(.{0,3})(.{0,3})(.{0,2})(.*)/, " $1 $2-$3-$4")).replace(/^ |\D+$/g, "");
};

/** @type {FormatAt} */
export const formatAt = (text, caret, regions) => {
  const result = format(text, regions);
  let place = 0;
  for (let before = digits(text.slice(0, caret)).length; before; place++) if (/\d/.test(result[place])) before--;
  return [result, place];
};

/** @type {Explain} */
const explain = (lang, words, { code, status = 0, retry_after = 0 }) => {
  const minutes = Math.ceil(retry_after / 60) || 1;
  const relative = new Intl.RelativeTimeFormat(lang);
  const wait = minutes > 90 ? relative.format(Math.ceil(minutes / 60), "hour") : relative.format(minutes, "minute");
  return status === 429 ? `${words.too_many} ${wait}.`
    : status > 499 || /^challenge/.test(code) ? `${words.trouble} ${wait}.`
    : status === 403 ? words.blocked
    : words[code] || words[/^phone/.test(code) ? "phone_refused" : /time/.test(code) ? "time_refused" : "error"];
};

const DAY = /** @type {const} */ ({ weekday: "long", day: "numeric", month: "long" });

/** @type {When} */
const when = (lang, moment) => {
  const date = new Date(moment);
  const days = Math.round((new Date(date).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 864e5);
  const text = date.toLocaleString(lang, { ...DAY, hour: "numeric", minute: "2-digit" });
  return days > 1 ? text : text.replace(date.toLocaleDateString(lang, DAY),
    new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(days, "day"));
};

// Opens the dialog automatically: once a day, and never while the visitor types or another dialog is open.
/** @type {InstallTriggers} */
const installTriggers = async ({ exit_intent, seconds, scroll }, on, open) => {
  if (!exit_intent && !seconds && !scroll) return;
  const day = new Date().toDateString();
  // Throws if storage is blocked: the dialog would then open on every page.
  const isDue = () => localStorage.chaser_callback !== day;
  if (!isDue()) return;
  const tryOpen = () => {
    if (document.activeElement?.matches("body, a, button") && isDue()
      && ![...document.querySelectorAll("dialog[open], [role*=dialog]")].some(it => it.checkVisibility())) open();
  };
  let passed = 0;
  setInterval(() => {
    const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
    if (!document.hidden) passed++;
    if (seconds && passed >= seconds
      || scroll && scrollTop && scrollTop + 1 > (scrollHeight - clientHeight) * scroll / 100) tryOpen();
  }, 1000);
  document.addEventListener("mouseout", ({ relatedTarget, clientY }) => {
    if (exit_intent && !relatedTarget && clientY < 1) tryOpen();
  });
  on("open", () => { localStorage.chaser_callback = day; });
};

/** @type {Create} */
export const create = ({ service, h, addStyles, root, site, lang, words, api }) => {
  const { consent, phone, regions, departments } = site;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone === site.timezone ? "" : ` (${words.your_time})`;
  const countries = regions.map(region => new Intl.DisplayNames(lang, { type: "region" }).of(region)).join(", ");
  const sentence = consent?.text?.[lang] || words.consent;

  /** @type {[name: string, showError: (code: unknown) => unknown][]} */
  const fieldErrors = [];
  /** @type {Field} */
  const field = (name, label, control) => {
    const wrong = h("p", { className: "wrong", role: "alert", id: "wrong-" + name });
    const showError = (/** @type {unknown} */ code) => {
      wrong.textContent = code ? explain(lang, words, { code }) : "";
      control.ariaInvalid = `${!!code}`;
      if (code) control.focus();
      return code;
    };
    fieldErrors.unshift([name, showError]);
    control.id = name;
    control.setAttribute("aria-describedby", wrong.id);
    control.oninput = () => showError("");
    return h("div", {}, control, h("label", { htmlFor: name }, ...label), wrong);
  };
  // Shows an error beside each field that has a code, and focuses the first. Returns a falsy value if there is none.
  const showFieldErrors = (/** @type {Record<string, unknown>} */ codes) =>
    fieldErrors.filter(([name, showError]) => showError(codes[name]))[0];

  const ring = h("div", { className: "ring icon", ariaHidden: "true" });
  const title = h("h2");
  const lead = h("p");
  const number = h("b");
  const input = h("input", {
    type: "tel", autocomplete: "tel", inputMode: "tel",
    placeholder: /RU|KZ/.test(regions[0]) ? words.placeholder : "+",
  });
  const time = h("select");
  const department = h("select", {}, ...departments.map(({ id, name }) => h("option", { value: id }, name)));
  const box = h("input", { type: "checkbox" });
  // Honeypot: only a bot fills it in. The service then holds the request until the operator releases it.
  const honeypot = h("input", { name: "website", autocomplete: "off", tabIndex: -1, ariaHidden: "true" });
  const send = h("button");
  const wrong = h("p", { className: "wrong", role: "alert" });
  const form = h("form", {},
    field("client_phone", [words.phone, regions.join() === "RU" || regions[5] ? "" : ` (${countries})`], input),
    field("planned_time", [words.time + zone], time),
    departments[0] ? field("department", [words.department], department) : "",
    consent ? field("consent",
      [sentence, " ", h("a", { href: consent.url, target: "_blank" }, words.consent_link)], box) : "",
    honeypot, wrong, send);
  const next = h("button");
  const call = h("a", { href: "tel:" + phone }, words.call + " ", h("b", {}, format(phone || "", regions)));
  // method=dialog: the browser itself closes it, even if the page stops our click events.
  const done = h("form", { method: "dialog" }, next, call,
    h("button", { className: "close", ariaLabel: words.close }, "×"));
  const dialog = h("dialog", { lang, closedBy: "any" },
    ring, h("div", { role: "status" }, title, lead, number), form, done);
  // Otherwise the page's keyboard shortcuts and focus traps would act on the fields in here.
  for (const type of ["click", "mousedown", "keydown", "keypress", "keyup", "focusin"])
    dialog.addEventListener(type, event => event.stopPropagation());
  addStyles(css);
  root.append(dialog);

  const callTime = (at = time.value || site.call_expected_at) =>
    (site.open || time.value ? "" : words.closed + " ") + (at ? `${words.later} ${when(lang, at)}${zone}.` : "");
  const updateLead = () => {
    if (!form.hidden) lead.textContent = site.open && !time.value ? words.lead : callTime();
  };
  const fillTimes = () => {
    // New options would discard the visitor's choice.
    if (!time.value) time.replaceChildren(h("option", { value: "" }, words.now),
        ...site.free_times.map(value => h("option", { value }, when(lang, value))));
    updateLead();
  };

  // Of the last request until the dialog is closed. Trying again says that no phone rang after it.
  let id = "";
  let end = 0;
  let timer = 0;
  const tick = () => {
    const left = end - Date.now();
    ring.textContent = `${Math.ceil(left / 1000)}`;
    ring.style.setProperty("--past", `${1 - left / COUNTDOWN}turn`);
    if (left <= 0) show("late");
  };
  // Shows the form, or the status of a request. text: replaces the text of the status, and no countdown runs.
  const show = (state = "form", text = "") => {
    const isForm = state === "form";
    const kind = isForm || words[state + "_title"] ? state : "done";
    const isBad = /late|failed|unknown/.test(kind);
    dialog.className = kind;
    form.hidden = !isForm;
    next.hidden = isForm;
    call.hidden = !phone || !isBad;
    dialog.ariaLabel = title.textContent = words[isForm ? "title" : kind + "_title"];
    lead.textContent = text || words[isBad ? kind + "_text" : "done_text"] || "";
    number.textContent = isForm ? "" : fields.client_phone;
    next.textContent = isBad ? words.again : words.close;
    clearInterval(timer);
    ring.textContent = "";
    if (isForm) {
      updateLead();
      input.focus();
    } else next.focus();
    if (isForm || isBad || text) return;
    timer = setInterval(tick, 100);
    tick();
  };

  let lastValues = "";
  /** @type {Fields} */
  let fields;
  const isBusy = () => send.ariaDisabled === "true";
  const setBusy = (now = false) => {
    send.ariaDisabled = `${now}`;
    send.textContent = now ? words.sending : words.submit;
  };

  form.onsubmit = async event => {
    event.preventDefault();
    if (isBusy() || showFieldErrors({
      client_phone: !input.value.trim() && "phone_missing",
      consent: consent && !box.checked && "consent_required",
    })) return;
    const values = {
      client_phone: input.value,
      planned_time: time.value || undefined,
      department: department.value || undefined,
      consent: consent && { accepted: true, version: consent.version, text: sentence } || undefined,
      website: honeypot.value || undefined,
      again: id || undefined,
    };
    // Unchanged values after a lost answer keep their request_id, so both requests are one callback.
    if (lastValues !== (lastValues = JSON.stringify(values))) fields = complete(service, values);
    wrong.textContent = "";
    setBusy(true);
    try {
      const callback = await api.submit(fields);
      lastValues = "";
      id = callback.id;
      end = Date.now() + COUNTDOWN;
      if (isNow(callback)) show(callback.status);
      // No time is promised: unknown working hours, or the site has closed since the dialog was opened.
      else show("done", callTime(callback.call_expected_at) || words.now + ".");
    } catch (/** @type {any} */ error) {
      if (showFieldErrors(Object.fromEntries(error.errors.map(
        (/** @type {Refusal["errors"][0]} */ { field, code }) => [field, code])))) return;
      wrong.textContent = explain(lang, words, error);
      call.hidden = !phone;
      done.scrollIntoView(false);
    } finally {
      setBusy();
    }
  };
  let formatted = "";
  form.oninput = event => {
    const { inputType } = /** @type {InputEvent} */ (event);
    const at = input.selectionStart || 0;
    let [text, caret] = formatAt(input.value, at, regions);
    // Delete removed only a separator: remove the digit behind it as well.
    if (text === formatted && /Forward/.test(inputType))
      [text, caret] = formatAt(text.slice(0, at) + text.slice(at).replace(/\d/, ""), at, regions);
    formatted = text;
    if (text !== input.value && root.activeElement === input && !/^history/.test(inputType)) {
      // Assigning to value would clear the undo history.
      input.select();
      document.execCommand("insertText", false, text);
      input.setSelectionRange(caret, caret);
    }
  };
  time.onchange = updateLead;

  // Ignore the second half of a slow double click on the submit button, which was in the same place.
  next.onclick = ({ detail }) => {
    if (detail > 1 || next.textContent === words.close) return detail < 2;
    show();
    return false;
  };
  dialog.onclose = () => {
    service.emit("close");
    if (isBusy()) return;
    id = "";
    show();
  };
  api.on("status", now => { if (now.id === id && form.hidden) show(now.status); });
  setBusy();
  fillTimes();
  show();

  const open = () => {
    if (dialog.open) return;
    dialog.showModal();
    track(service, site, "open");
    if (site.challenge) prepare(service).catch(() => {});
    // The settings may be hours old: working hours and free times have changed since.
    service.fetchJson("sites/" + service.name, "site").then(settings => {
      Object.assign(site, settings);
      fillTimes();
    }, () => {});
  };
  installTriggers(site.triggers, api.on, open).catch(() => {});
  return { open, close: () => dialog.close() };
};
