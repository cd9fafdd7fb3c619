// The words of the dialog. Those up to done_text an owner may change: SITES__<NAME>__TEXTS.

/** @type {Words} */
const ru = {
  title: "Мы вам перезвоним",
  lead: "Оставьте номер, и мы позвоним вам.",
  phone: "Номер телефона",
  placeholder: "+7 900 000-00-00",
  submit: "Жду звонка",
  consent: "Даю согласие на обработку персональных данных.",
  consent_link: "Текст согласия",
  done_title: "Заявка принята",
  done_text: "Набираем ваш номер.",
  closed: "Сейчас мы не работаем.",
  later: "Позвоним вам",
  at: "в",
  sending: "Отправляем…",
  again: "Попробовать ещё раз",
  close: "Закрыть",
  call: "Позвонить:",
  delivered_title: "Звоним вам",
  delivered_text: "Телефон вот-вот зазвонит.",
  failed_title: "Не удалось позвонить",
  unknown_title: "Заявка у нас",
  unknown_text: "Начался ли звонок, мы не знаем.",
  phone_missing: "Введите номер телефона",
  phone_too_short: "В номере не хватает цифр",
  phone_malformed: "Проверьте номер",
  phone_region: "В эту страну мы не звоним",
  phone_refused: "На этот номер мы не звоним. Введите свой мобильный или городской",
  consent_required: "Без согласия мы не можем позвонить",
  network: "Нет связи. Проверьте интернет и попробуйте ещё раз.",
  429: "Слишком много заявок. Попробуйте",
  503: "Сервис перегружен. Попробуйте через минуту.",
  error: "Не получилось. Обновите страницу и попробуйте ещё раз.",
};

/** @type {Words} */
const en = {
  title: "We’ll call you back",
  lead: "Leave your number and we’ll call you.",
  phone: "Phone number",
  placeholder: "+7 900 000-00-00",
  submit: "Call me",
  consent: "I consent to the processing of my personal data.",
  consent_link: "Read the consent",
  done_title: "Request accepted",
  done_text: "We’re placing the call.",
  closed: "We’re closed now.",
  later: "We’ll call you",
  at: "at",
  sending: "Sending…",
  again: "Try again",
  close: "Close",
  call: "Call us:",
  delivered_title: "We’re calling you",
  delivered_text: "Your phone should ring any moment.",
  failed_title: "We couldn’t call you",
  unknown_title: "We have your request",
  unknown_text: "We can’t tell whether the call has started.",
  phone_missing: "Enter your phone number",
  phone_too_short: "The number has too few digits",
  phone_malformed: "Please check the number",
  phone_region: "We don’t call this country",
  phone_refused: "We can’t call this number. Enter your own mobile or landline",
  consent_required: "We can’t call without your consent",
  network: "No connection. Check your internet and try again.",
  429: "Too many requests. Try again",
  503: "The service is busy. Try again in a minute.",
  error: "That didn’t work. Reload the page and try again.",
};

/** @type {Messages} */
export const messages = (lang, { texts }) => ({ lang, ...{ ru, en }[lang], ...texts[lang] });

/** @type {Explain} */
export const explain = (words, { code, status = 0, retry_after = 0 }) => status === 429
  ? `${words[429]} ${new Intl.RelativeTimeFormat(words.lang).format(Math.ceil(retry_after / 60) || 1, "minute")}.`
  : words[code] || (/^phone_.*(number|free|rate|personal)/.test(code) ? words.phone_refused
    : words[/^phone/.test(code) ? "phone_malformed" : status] || words.error);

/** @type {When} */
export const when = ({ lang, at }, moment) => {
  const date = new Date(moment);
  const days = Math.round((new Date(date).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 864e5);
  const day = days < 2 ? new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(days, "day")
    : date.toLocaleDateString(lang, { day: "numeric", month: "long" });
  return `${day} ${at} ${date.toLocaleTimeString(lang, { hour: "numeric", minute: "2-digit" })}`;
};
