// Groups the digits of a phone number while it is typed, and changes none: the service decides how to read it.

// What people put between digits, and what copying brings along unseen. A text with anything else is left alone.
const isPlain = (text = "") => /^[+\d\s().\p{Pd}−\p{Cf}]*$/u.test(text);
const digits = (text = "") => text.replace(/\D/g, "");
const isPlusSeven = (region = "") => /RU|KZ/.test(region);

/** @type {Format} */
export const format = (text, regions) => {
  const plus = /^\W*\+/.test(text) ? "+" : "";
  const pattern = plus ? /^(7)(\d+)$/ : isPlusSeven(regions[0]) && /^([78](?=[34789])|(?=9))(\d+)$/;
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

/** @type {Fault} */
export const fault = (text, regions) => {
  const fewest = /^\W*\+7/.test(text) ? 11 : regions.every(isPlusSeven) ? 7 : 1;
  return !text.trim() ? "phone_missing"
    : isPlain(text) && digits(text).length < fewest ? "phone_too_short" : undefined;
};
