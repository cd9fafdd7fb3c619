/** Formatting of phones and times. */

/** Format a phone: Russian numbers in groups, others as a plus and digits. */
export function phone(digits) {
  const parts = /^7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(digits);
  return parts ? `+7 ${parts[1]} ${parts[2]}-${parts[3]}-${parts[4]}` : `+${digits}`;
}

/** Format the time of day of an ISO 8601 time in a time zone. */
export function time(iso, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone }).format(new Date(iso));
}

/** Format the day of an ISO 8601 time in a time zone, such as "Tue 3 March". */
export function day(iso, timeZone) {
  const parts = { weekday: "short", day: "numeric", month: "long", timeZone };
  return new Intl.DateTimeFormat("en-GB", parts).format(new Date(iso)).replace(",", "");
}

/** Format hours and minutes, after the day unless it is today in that time zone. */
export function moment(iso, nowIso, timeZone) {
  const clock = time(iso, timeZone).replace(/:\d\d$/, "");
  const on = day(iso, timeZone);
  return on === day(nowIso, timeZone) ? clock : `${on}, ${clock}`;
}
