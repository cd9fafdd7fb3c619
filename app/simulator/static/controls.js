/** The controls: set the clock, script a fault for the next call, clear the ledger. */
import * as format from "./format.js";

const FAULTS = {
  429: { kind: "status", status: 429, headers: { "retry-after": "5" } },
  503: { kind: "status", status: 503, headers: { "retry-after": "5" } },
  401: { kind: "status", status: 401 },
  refuse: { kind: "refuse", seconds: 10, times: null },
};

const $ = (id) => document.getElementById(id);
let clock = null;
let receivedAt = 0;

/** Add the listeners of the buttons and update the clock four times a second. */
export function start() {
  for (const button of document.querySelectorAll("[data-clock]")) {
    button.addEventListener("click", () => send("POST", "clock", { to: button.dataset.clock }));
  }
  $("fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const kind = $("fault").value;
    send("POST", "faults", { path: "/v1/call", ...(FAULTS[kind] ?? { kind }) });
  });
  $("unfault").addEventListener("click", () => send("DELETE", "faults"));
  $("clear").addEventListener("click", () => send("DELETE", "ledger"));
  setInterval(tick, 250);
}

/** Show the clock and the faults of the simulator's status. */
export function show(status) {
  clock = status.clock;
  receivedAt = performance.now();
  const current = clock.real ? "real" : clock.working ? "day" : "night";
  for (const button of document.querySelectorAll("[data-clock]")) {
    button.setAttribute("aria-pressed", String(button.dataset.clock === current));
    // Without a closing time there is no night to set the clock to.
    button.hidden = button.dataset.clock === "night" && clock.closes - clock.opens === 24;
  }
  const working = $("working");
  working.hidden = false;
  working.textContent = clock.working ? "working hours" : "outside working hours";
  working.classList.toggle("night", !clock.working);
  working.title = `Working hours are ${clock.opens}:00 to ${clock.closes}:00, Monday to Friday unless set otherwise`;
  $("faults").hidden = status.faults.length === 0;
  $("fault-list").textContent = status.faults.map(describe).join(" · ");
  tick();
}

/** Return the simulator's time as ISO 8601. */
export function now() {
  if (!clock) return new Date().toISOString();
  const passed = clock.frozen ? 0 : performance.now() - receivedAt;
  return new Date(Date.parse(clock.now) + passed).toISOString();
}

/** Set the clock to an ISO 8601 time. */
export function goTo(moment) {
  send("POST", "clock", { now: moment });
}

function tick() {
  if (!clock) return;
  $("now").textContent = format.time(now(), clock.timezone);
  $("day").textContent = `${format.day(now(), clock.timezone)}, ${clock.timezone}${clock.frozen ? ", stopped" : ""}`;
}

function describe(fault) {
  if (fault.kind === "refuse") return "The API port is closed";
  const what = fault.kind === "status" ? `status ${fault.status}` : fault.kind;
  const count = fault.times === 1 ? "Next request" : fault.times ? `Next ${fault.times} requests` : "Every request";
  return `${count}${fault.path ? ` to ${fault.path}` : ""}: ${what}`;
}

async function send(method, path, data) {
  const body = data && { headers: { "content-type": "application/json" }, body: JSON.stringify(data) };
  try {
    await fetch(`/_control/${path}`, { method, ...body });
  } catch {
    // Nothing to report here: the stream shows that the simulator is unreachable, and reconnects.
  }
}
