// Formats a phone number while it is typed. The service has the last word on a number.

const digits = (text = "") => text.replace(/\D/g, "");
// What people put between digits. A text with anything else is left alone.
const isPlain = (text = "") => /^[+\d\s().\-–]*$/.test(text);

/** @type {Format} */
export const format = text => {
  const plusSeven = text.trim()[0] === "+" ? /^7(\d{0,10})$/ : /^(?:[78](?=[34789])|(?=9\d{9}$))(\d{0,10})$/;
  const [, rest] = isPlain(text) && plusSeven.exec(digits(text)) || [];
  return rest == null ? text
    : rest.replace(/(.{0,3})(.{0,3})(.{0,2})(.*)/, "+7 $1 $2-$3-$4").replace(/\D+$/, "");
};

/** @type {FormatAt} */
export const formatAt = (text, caret) => {
  const result = format(text);
  let place = result.length;
  for (let after = digits(text.slice(caret)).length; after;) if (/\d/.test(result[--place])) after--;
  while (place > 1 && /\D/.test(result[place - 1])) place--;
  return [result, place];
};

/** @type {Fault} */
export const fault = text => !text.trim() ? "phone_missing"
  : isPlain(text) && digits(text).length < (/^\s*\+7/.test(text) ? 11 : 7) ? "phone_too_short" : undefined;
