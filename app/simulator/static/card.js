/**
 * One call as a card. Every value is untrusted: it is set as text, never as markup, and isolated so that right-to-left
 * text can't reorder the text around it.
 */
import * as format from "./format.js";

const ICONS = { ringing: "phone", queued: "clock", lead: "mail", success: "check", failed: "missed" };
const LONG = 240;
// Control characters except tab and newline, zero-width characters except the joiners that emoji and Persian need,
// and bidirectional controls.
const HIDDEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd])/;

/** The parameters of `call` that the vendor documents; absent ones are listed below the others. */
const DOCUMENTED = [
  "manager_phone", "planned_time", "active_page", "client_ip", "message_on_ring", "nwt_action",
  "call_stack_start_hour", "call_stack_interval", "referrer",
];

/** Create a card; `update` fills in the parts that change. `goTo` sets the clock to the time a queued call will ring. */
export function create(template, call, goTo) {
  const card = template.content.firstElementChild.cloneNode(true);
  card.querySelector(".phone").textContent = format.phone(call.client_phone);
  card.querySelector(".route").textContent =
    `manager ${format.phone(call.manager_phone)} · ${call.site_name}, site ${call.site_id}`;
  const params = card.querySelector(".params");
  for (const [name, value] of Object.entries(call.params)) params.append(parameter(name, value));
  const absent = DOCUMENTED.filter((name) => !(name in call.params));
  if (absent.length) card.querySelector(".absent").textContent = `Not sent: ${absent.join(", ")}`;
  card.querySelector(".go").addEventListener("click", () => goTo(call.ring_at));
  card.classList.add("new");
  return card;
}

/** Show the current state of a call. */
export function update(card, call, now) {
  const kind = call.result ?? call.state;
  card.classList.remove(...Object.keys(ICONS));
  card.classList.add(kind);
  card.querySelector("use").setAttribute("href", `#${ICONS[kind]}`);
  card.querySelector(".state").textContent = stateText(call, kind, now);
  showNote(card.querySelector(".note"), call);
  const go = card.querySelector(".go");
  go.hidden = kind !== "queued";
  if (kind === "queued") go.textContent = `Set the clock to ${format.moment(call.ring_at, now, call.timezone)}`;
  const times = [["Call", `no. ${call.seq}`], ["received", call.received_at], ["rang", call.rang_at], ["ended", call.ended_at]];
  card.querySelector(".times").replaceChildren(
    ...times.filter(([, at]) => at).map(([label, at]) => {
      const span = document.createElement("span");
      span.textContent = `${label} ${label === "Call" ? at : format.time(at, call.timezone)}`;
      return span;
    }),
  );
}

/** Return the state as text, for the corner of the card and for screen readers. */
export function stateText(call, kind, now) {
  switch (kind) {
    case "ringing": return "Ringing now";
    case "queued": return `Rings ${format.moment(call.ring_at, now, call.timezone)}`;
    case "lead": return "Lead, by e-mail";
    case "success": return "Answered";
    default: return "Missed";
  }
}

function showNote(note, call) {
  note.textContent = call.note.charAt(0).toUpperCase() + call.note.slice(1);
  if (!call.fault) return;
  const fault = document.createElement("span");
  fault.className = "fault-name";
  fault.textContent = ` · the client met a scripted fault: ${call.fault}`;
  note.append(fault);
}

function parameter(name, value) {
  const row = document.createElement("div");
  const term = document.createElement("dt");
  const data = document.createElement("dd");
  const text = document.createElement("span");
  const written = typeof value === "string" ? value : JSON.stringify(value);
  term.textContent = name;
  text.className = "text";
  text.dir = "auto";
  text.append(...(written ? visible(written) : ["empty"]));
  data.append(text);
  if (!written) data.className = "none";
  if (written.length > LONG) data.append(expandButton(text, written.length));
  row.append(term, data);
  return row;
}

/** Split text into nodes; invisible characters and bidirectional controls are replaced by their code points. */
function visible(text) {
  return text.split(HIDDEN).map((part, index) => {
    if (index % 2 === 0) return part;
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    return mark;
  });
}

/** Create a button that expands and collapses a long value. */
function expandButton(text, length) {
  const button = document.createElement("button");
  button.type = "button";
  const show = (whole) => {
    text.classList.toggle("short", !whole);
    button.setAttribute("aria-expanded", String(whole));
    button.textContent = whole ? "Show less" : `Show all ${length.toLocaleString("en")} characters`;
  };
  button.addEventListener("click", () => show(text.classList.contains("short")));
  show(false);
  return button;
}
