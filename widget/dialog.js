// The dialog: number, time, department, consent; then what becomes of the request.
import { complete, isNow, prepare, tell } from "./callbacks.js";
import { css } from "./styles.js";

// How long it usually takes until a phone rings.
const COUNTDOWN = 30_000;

// A number's digits are grouped while it is typed, and none is changed: the service decides how to read it.

// What people put between digits, and what copying brings along unseen. A text with anything else is left alone.
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

// Opens the dialog by itself: once a day, and never in the middle of something.
/** @type {Watch} */
const watch = async ({ exit_intent, seconds, scroll }, on, open) => {
  if (!exit_intent && !seconds && !scroll) return;
  const day = new Date().toDateString();
  // Throws where nothing can be stored: nobody could tell there that it has been today.
  const isDue = () => localStorage.chaser_callback !== day;
  if (!isDue()) return;
  const go = () => {
    if (document.activeElement?.matches("body, a, button") && isDue()
      && ![...document.querySelectorAll("dialog[open], [role*=dialog]")].some(it => it.checkVisibility())) open();
  };
  let passed = 0;
  setInterval(() => {
    const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
    if (!document.hidden) passed++;
    if (seconds && passed >= seconds
      || scroll && scrollTop && scrollTop + 1 > (scrollHeight - clientHeight) * scroll / 100) go();
  }, 1000);
  document.addEventListener("mouseout", ({ relatedTarget, clientY }) => {
    if (exit_intent && !relatedTarget && clientY < 1) go();
  });
  on("open", () => { localStorage.chaser_callback = day; });
};

/** @type {Create} */
export const create = ({ service, make, adopt, root, site, lang, words, api }) => {
  const { consent, phone, regions, departments } = site;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone === site.timezone ? "" : ` (${words.your_time})`;
  const countries = regions.map(region => new Intl.DisplayNames(lang, { type: "region" }).of(region)).join(", ");
  const sentence = consent?.text?.[lang] || words.consent;

  /** @type {[name: string, say: (code: unknown) => unknown][]} */
  const complaints = [];
  /** @type {Field} */
  const field = (name, label, control) => {
    const wrong = make("p", { className: "wrong", role: "alert", id: "wrong-" + name });
    const say = (/** @type {unknown} */ code) => {
      wrong.textContent = code ? explain(lang, words, { code }) : "";
      control.ariaInvalid = `${!!code}`;
      if (code) control.focus();
      return code;
    };
    complaints.unshift([name, say]);
    control.id = name;
    control.setAttribute("aria-describedby", wrong.id);
    control.oninput = () => say("");
    return make("div", {}, control, make("label", { htmlFor: name }, ...label), wrong);
  };
  // Says what is wrong with each field, by the service's codes; the first one gets the focus. Was there anything?
  const complain = (/** @type {Record<string, unknown>} */ codes) =>
    complaints.filter(([name, say]) => say(codes[name]))[0];

  const ring = make("div", { className: "ring icon", ariaHidden: "true" });
  const title = make("h2");
  const lead = make("p");
  const number = make("b");
  const input = make("input", {
    type: "tel", autocomplete: "tel", inputMode: "tel",
    placeholder: /RU|KZ/.test(regions[0]) ? words.placeholder : "+",
  });
  const time = make("select");
  const department = make("select", {}, ...departments.map(({ id, name }) => make("option", { value: id }, name)));
  const box = make("input", { type: "checkbox" });
  // What fills in every field is no person: the service holds such a request for one to look at.
  const trap = make("input", { name: "website", autocomplete: "off", tabIndex: -1, ariaHidden: "true" });
  const send = make("button");
  const wrong = make("p", { className: "wrong", role: "alert" });
  const form = make("form", {},
    field("client_phone", [words.phone, regions.join() === "RU" || regions[5] ? "" : ` (${countries})`], input),
    field("planned_time", [words.time + zone], time),
    departments[0] ? field("department", [words.department], department) : "",
    consent ? field("consent",
      [sentence, " ", make("a", { href: consent.url, target: "_blank" }, words.consent_link)], box) : "",
    trap, wrong, send);
  const next = make("button");
  const call = make("a", { href: "tel:" + phone }, words.call + " ", make("b", {}, format(phone || "", regions)));
  // Closed by the browser: the page may keep clicks from us.
  const done = make("form", { method: "dialog" }, next, call,
    make("button", { className: "close", ariaLabel: words.close }, "×"));
  const dialog = make("dialog", { lang, closedBy: "any" },
    ring, make("div", { role: "status" }, title, lead, number), form, done);
  // The page's shortcuts and focus traps have no business in here.
  for (const type of ["click", "mousedown", "keydown", "keypress", "keyup", "focusin"])
    dialog.addEventListener(type, event => event.stopPropagation());
  adopt(css);
  root.append(dialog);

  const promise = (at = time.value || site.call_expected_at) =>
    (site.open || time.value ? "" : words.closed + " ") + (at ? `${words.later} ${when(lang, at)}${zone}.` : "");
  const greet = () => {
    if (!form.hidden) lead.textContent = site.open && !time.value ? words.lead : promise();
  };
  const offer = () => {
    // A time that was chosen stays chosen.
    if (!time.value) time.replaceChildren(make("option", { value: "" }, words.now),
        ...site.free_times.map(value => make("option", { value }, when(lang, value))));
    greet();
  };

  let id = "";
  let end = 0;
  let timer = 0;
  const tick = () => {
    const left = end - Date.now();
    ring.textContent = `${Math.ceil(left / 1000)}`;
    ring.style.setProperty("--past", `${1 - left / COUNTDOWN}turn`);
    if (left <= 0) show("late");
  };
  // The form, or what becomes of a request. A text: of one that is for later.
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
      id = "";
      greet();
      input.focus();
    } else next.focus();
    if (isForm || isBad || text) return;
    timer = setInterval(tick, 100);
    tick();
  };

  let asked = "";
  /** @type {Fields} */
  let fields;
  const isBusy = () => send.ariaDisabled === "true";
  const setBusy = (now = false) => {
    send.ariaDisabled = `${now}`;
    send.textContent = now ? words.sending : words.submit;
  };

  form.onsubmit = async event => {
    event.preventDefault();
    if (isBusy() || complain({
      client_phone: !input.value.trim() && "phone_missing",
      consent: consent && !box.checked && "consent_required",
    })) return;
    const asks = {
      client_phone: input.value,
      planned_time: time.value || undefined,
      department: department.value || undefined,
      consent: consent && { accepted: true, version: consent.version, text: sentence } || undefined,
      website: trap.value || undefined,
    };
    // The same again, after a lost answer, is the same request.
    if (asked !== (asked = JSON.stringify(asks))) fields = complete(service, asks);
    wrong.textContent = "";
    setBusy(true);
    try {
      const callback = await api.submit(fields);
      asked = "";
      id = callback.id;
      end = Date.now() + COUNTDOWN;
      if (isNow(callback)) show(callback.status);
      else show("done", promise(callback.call_expected_at) || words.closed);
    } catch (error) {
      const refusal = /** @type {Refusal} */ (error);
      if (complain(Object.fromEntries(refusal.errors.map(({ field, code }) => [field, code])))) return;
      wrong.textContent = explain(lang, words, refusal);
      call.hidden = !phone;
      done.scrollIntoView(false);
    } finally {
      setBusy();
    }
  };
  let shown = "";
  form.oninput = event => {
    const { inputType } = /** @type {InputEvent} */ (event);
    const at = input.selectionStart || 0;
    let [text, caret] = formatAt(input.value, at, regions);
    // Only what stands between digits was deleted.
    if (text === shown && /Forward/.test(inputType))
      [text, caret] = formatAt(text.slice(0, at) + text.slice(at).replace(/\d/, ""), at, regions);
    shown = text;
    if (text !== input.value && root.activeElement === input && !/^history/.test(inputType)) {
      // Unlike a new value, this can be undone.
      input.select();
      document.execCommand("insertText", false, text);
      input.setSelectionRange(caret, caret);
    }
  };
  time.onchange = greet;

  // The second half of a slow double click on what stood here before.
  next.onclick = ({ detail }) => {
    if (detail > 1 || next.textContent === words.close) return detail < 2;
    show();
    return false;
  };
  dialog.onclose = () => {
    service.emit("close");
    if (!isBusy()) show();
  };
  api.on("status", now => { if (now.id === id) show(now.status); });
  setBusy();
  offer();
  show();

  const open = () => {
    if (dialog.open) return;
    dialog.showModal();
    tell(service, site, "open");
    if (site.challenge) prepare(service).catch(() => {});
    // The page may have been open for hours.
    service.ask("sites/" + service.name, "site").then(facts => {
      Object.assign(site, facts);
      offer();
    }, () => {});
  };
  watch(site.triggers, api.on, open).catch(() => {});
  return { open, close: () => dialog.close() };
};
