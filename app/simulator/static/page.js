/** The live page: shows the stream of changes as cards and a list of requests. */
import * as card from "./card.js";
import * as controls from "./controls.js";
import * as format from "./format.js";

const MAX_CARDS = 100;
const $ = (id) => document.getElementById(id);
const cards = new Map();
let epoch = null;

function showConnection(connected) {
  $("live").classList.toggle("on", connected);
  $("live-text").textContent = connected ? "Live" : "Reconnecting to the simulator";
}

function showCall(call) {
  let element = cards.get(call.seq);
  if (!element) {
    element = card.create($("card"), call, controls.goTo);
    cards.set(call.seq, element);
    const older = [...cards.keys()].filter((seq) => seq < call.seq);
    $("calls").insertBefore(element, older.length ? cards.get(Math.max(...older)) : null);
  }
  card.update(element, call, controls.now());
}

function showCounts(counts) {
  const words = [
    ["ringing", "ringing"], ["queued", "queued"], ["lead", counts.lead === 1 ? "lead" : "leads"],
    ["success", "answered"], ["failed", "missed"],
  ];
  $("counts").textContent = words.filter(([name]) => counts[name]).map(([name, word]) => `${counts[name]} ${word}`).join(" · ");
  $("clear").hidden = counts.requests === 0;
  $("empty").hidden = counts.calls > 0;
  document.title = counts.ringing ? `(${counts.ringing}) ringing · Chaser simulator` : "Chaser simulator";
}

function showRequests(requests, timeZone) {
  $("requests").hidden = requests.length === 0;
  const rows = requests.toReversed().map((request) => {
    const row = document.createElement("tr");
    const outcome = [
      request.executed ? `call no. ${request.call}` : "",
      request.fault ? `scripted fault: ${request.fault}` : "",
      request.message,
    ];
    const cells = [
      format.time(request.received_at, timeZone),
      `${request.method} ${request.path}`,
      request.status ?? "none",
      outcome.filter(Boolean).join(", "),
    ];
    for (const text of cells) row.insertCell().textContent = text;
    row.cells[2].classList.toggle("bad", failed(request));
    return row;
  });
  $("request-rows").replaceChildren(...rows);
  const last = requests.at(-1);
  if (!last) return;
  $("last-request").textContent = `last: ${last.status ?? "no answer"}${last.message ? `, ${last.message}` : ""}`;
  $("last-request").classList.toggle("bad", failed(last));
}

function failed(request) {
  return request.status === null || request.status >= 400;
}

/** Announce the last call to screen readers. */
function announce(calls) {
  const call = calls.at(-1);
  if (call) $("said").textContent = `${format.phone(call.client_phone)}: ${card.stateText(call, call.result ?? call.state, controls.now())}`;
}

function removeCards() {
  cards.clear();
  $("calls").replaceChildren();
}

function removeOldCards() {
  for (const [seq, element] of cards) {
    if (cards.size <= MAX_CARDS) break;
    element.remove();
    cards.delete(seq);
  }
}

function show(change) {
  if (change.epoch !== epoch) removeCards();
  epoch = change.epoch;
  controls.show(change);
  change.calls.toSorted((one, other) => one.seq - other.seq).forEach(showCall);
  removeOldCards();
  showCounts(change.counts);
  showRequests(change.recent, change.clock.timezone);
  announce(change.calls);
}

$("api").textContent = `${location.origin}/v1/`;
controls.start();
const stream = new EventSource("/_control/events");
stream.addEventListener("open", () => showConnection(true));
stream.addEventListener("error", () => showConnection(false));
stream.addEventListener("message", (event) => show(JSON.parse(event.data)));
