// The dialog: number, consent, result.
import { complete, isNow } from "./callbacks.js";
import { explain, messages, when } from "./messages.js";
import { fault, format, formatAt } from "./phone.js";
import { css } from "./styles.js";

/** @type {Create} */
export const create = ({ make, adopt, root, site, lang, api, emit }) => {
  const words = messages(lang, site);
  const { consent, phone } = site;
  const isPlusSeven = /RU|KZ/.test(`${site.regions}`);
  const sentence = consent?.text?.[lang] || words.consent;

  const title = make("h2", { id: "title" });
  const lead = make("p");
  const number = make("b");
  const input = make("input", {
    id: "phone", type: "tel", autocomplete: "tel", inputMode: "tel", autofocus: true,
    placeholder: isPlusSeven ? words.placeholder : "+",
  });
  const box = make("input", { id: "consent", type: "checkbox" });
  /** @type {(field?: HTMLElement) => Complaint} */
  const complaint = field => {
    const place = make("p", { className: "wrong", role: "alert", id: "wrong-" + field?.id });
    field?.setAttribute("aria-describedby", place.id);
    return Object.assign(place, {
      say(text = "") {
        place.textContent = text;
        if (field) field.ariaInvalid = `${!!text}`;
        if (text) field?.focus();
      },
    });
  };
  /** @type {Record<string, Complaint>} */
  const wrong = { client_phone: complaint(input), consent: complaint(box), form: complaint() };
  const send = make("button");
  const form = make("form", { noValidate: true },
    make("label", { htmlFor: "phone" }, words.phone), input, wrong.client_phone,
    ...consent ? [make("label", {}, box, make("span", {}, sentence, " ",
      make("a", { href: consent.url, target: "_blank" }, words.consent_link))), wrong.consent] : [],
    send, wrong.form);
  const next = make("button");
  const call = make("a", { href: "tel:" + phone }, `${words.call} ${format(phone || "")}`);
  const close = make("button", { className: "close", ariaLabel: words.close }, "×");
  const dialog = make("dialog", { lang },
    make("div", {}, make("div", { className: "icon", role: "status" }, title, lead, number), form, next, call, close));
  dialog.setAttribute("aria-labelledby", "title");
  adopt(css);
  root.append(dialog);

  const closed = (time = site.call_expected_at) => words.closed + (time ? ` ${words.later} ${when(words, time)}.` : "");
  // The form, or what becomes of a request.
  const show = (state = "form", text = "") => {
    const isForm = state === "form";
    const kind = /form|delivered|unknown/.test(state) ? state : /failed|cancelled/.test(state) ? "failed" : "done";
    const isBad = /failed|unknown/.test(kind);
    dialog.className = kind;
    title.textContent = isForm ? words.title : words[kind + "_title"];
    lead.textContent = isForm ? words.lead + (site.open ? "" : " " + closed()) : text || words[kind + "_text"];
    number.textContent = isForm || isBad ? "" : input.value;
    form.hidden = !isForm;
    next.hidden = isForm;
    next.textContent = isBad ? words.again : words.close;
    next.onclick = () => isBad ? show() : dialog.close();
    call.hidden = !phone || !isBad;
    (isForm ? input : next).focus();
  };

  let asked = "";
  /** @type {Fields} */
  let fields;
  let id = "";
  let isBusy = false;
  const setBusy = (now = false) => {
    isBusy = now;
    send.ariaDisabled = `${now}`;
    send.textContent = now ? words.sending : words.submit;
  };

  form.onsubmit = async event => {
    event.preventDefault();
    if (isBusy) return;
    const refused = consent && !box.checked && "consent_required";
    const faults = { form: "", consent: refused, client_phone: fault(input.value) };
    for (const [field, code] of Object.entries(faults)) wrong[field].say(code ? explain(words, { code }) : "");
    if (faults.consent || faults.client_phone) return;
    const asks = {
      client_phone: input.value,
      consent: consent ? { accepted: true, version: consent.version, text: sentence } : undefined,
    };
    // The same again, after a lost answer, is the same request.
    if (asked !== (asked = JSON.stringify(asks))) fields = complete(asks);
    setBusy(true);
    try {
      const callback = await api.submit(fields);
      asked = "";
      id = callback.id;
      if (isNow(callback)) show(callback.status);
      else show("queued", closed(callback.call_expected_at));
    } catch (error) {
      const refusal = /** @type {Refusal} */ (error);
      const known = refusal.errors.filter(({ field }) => wrong[field]);
      for (const { field, code } of known) wrong[field].say(explain(words, { code }));
      if (!known[0]) wrong.form.say(explain(words, refusal));
      call.hidden = !phone || !!known[0];
    }
    setBusy();
  };
  input.oninput = () => {
    const [text, caret] = formatAt(input.value, input.selectionStart || 0);
    if (isPlusSeven && text !== input.value) {
      input.value = text;
      input.setSelectionRange(caret, caret);
    }
    wrong.client_phone.say();
  };
  box.onchange = () => wrong.consent.say();

  // A press that began inside is somebody selecting text.
  let pressed = false;
  dialog.onpointerdown = ({ target }) => { pressed = target === dialog; };
  dialog.onclick = ({ target }) => { if (pressed && target === dialog) dialog.close(); };
  close.onclick = () => dialog.close();
  dialog.onclose = () => {
    emit("close");
    if (!isBusy) show();
  };
  api.on("status", now => { if (now.id === id) show(now.status); });
  setBusy();
  show();

  return {
    open() {
      if (dialog.open) return;
      dialog.showModal();
      emit("open");
    },
    close: () => dialog.close(),
  };
};
