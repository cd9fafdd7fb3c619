// The types of the widget and the documentation of its functions, for the type check and for editors. Global, so that
// no module has to import them. They are here and not in the modules because a visitor would pay for them there.

/* ---------- what the service says ---------- */

type Language = "ru" | "en";

type Status = "held" | "queued" | "sending" | "placed" | "failed" | "unknown" | "cancelled";

/** What GET /v1/sites/{site} says. Times are ISO 8601 in UTC. */
interface Site {
  site: string;
  /** May pages of this origin ask for callbacks? */
  allowed: boolean;
  /** Two-letter codes of the countries the site calls. */
  regions: string[];
  timezone: string;
  open: boolean;
  /** When somebody who asks now is called; null when that can't be said. */
  call_expected_at: string | null;
  /** The moments a visitor may choose for the call, earliest first. */
  free_times: string[];
  departments: { id: string; name: string }[];
  /** The consent to ask for, or null. Without a text in the visitor's language the widget's own sentence is shown. */
  consent: { url: string; version: string; text?: Partial<Record<Language, string>> } | null;
  /** The owner's words, by language and by the names in messages.ru.js; and button. */
  texts: Partial<Record<Language, Record<string, string>>>;
  theme: {
    /** #rrggbb */
    color: string;
    scheme: "auto" | "light" | "dark";
    /** False where the owner's own elements open the dialog. */
    button: boolean;
    /** What clip-path: path() takes, drawn for a box of 24 by 24. */
    icon: string | null;
    position: "left" | "right";
    /** Pixels, as all lengths here. */
    offset_x: number;
    offset_y: number;
    corner: number;
  };
  triggers: Triggers;
  analytics: {
    data_layer: boolean;
    gtag: boolean;
    /** The number of the Yandex.Metrika counter. */
    metrika: number | null;
  };
  /** The number a visitor can call when things fail, as +74951234567. */
  phone: string | null;
  /** Does a request need a challenge. */
  challenge: boolean;
}

/** When the dialog opens by itself: as the pointer leaves through the top, after so many seconds, from so many percent
 * of the page's height on. */
interface Triggers {
  exit_intent: boolean;
  seconds: number | null;
  scroll: number | null;
}

/** What GET /v1/callbacks/{id} says. */
interface CallbackStatus {
  id: string;
  status: Status;
  call_expected_at: string | null;
}

/** The body of a 202. */
interface Callback extends CallbackStatus {
  created_at: string;
  /** True when an earlier request of this visitor stands for this one. */
  duplicate: boolean;
}

/** Codes a Refusal carries: of the service; and "network" when no answer came, "error" when it came without a code or
 * something unforeseen happened.
 * With "invalid" the codes of the fields are in errors. The list may grow. */
type RefusalCode =
  | "network" | "error" | "invalid" | "request_id_reused" | "origin_not_allowed" | "rate_limited" | "overloaded"
  | "quota_phone" | "quota_client" | "quota_client_phones" | "quota_site"
  | "challenge_missing" | "challenge_wrong" | "challenge_expired" | "challenge_too_fast" | "challenge_used"
  | (string & {});

/** Why a request was not accepted. */
interface Refusal {
  code: RefusalCode;
  /** The HTTP status; 0 when no answer came. */
  status: number;
  errors: { field: string; code: string; detail: string }[];
  /** Seconds to wait before another try; 0 when the service did not say. */
  retry_after: number;
}

/* ---------- what the page sees: window.chaserCallback ---------- */

/** What submit() takes. What is left out of active_page, referrer and request_id is added. */
interface Fields {
  /** As typed, in any notation. */
  client_phone: string;
  /** One of the site's free_times; left out: at once, or as soon as the site is open. */
  planned_time?: string;
  department?: string;
  consent?: {
    accepted: boolean;
    version: string;
    /** The sentence the visitor saw beside the box. */
    text: string;
  };
  active_page?: string;
  referrer?: string;
  /** Two requests with one request_id are one callback. */
  request_id?: string;
  [field: string]: unknown;
}

/** The events, with what a listener gets. On the page they are called chaser-callback:ready and so on. */
interface Events {
  ready: Site;
  open: undefined;
  close: undefined;
  accepted: Callback;
  refused: Refusal;
  status: CallbackStatus;
}

interface Api {
  /** True once the site's settings are here and the button is shown. */
  ready: boolean;
  /** link: where to go if the dialog can't be loaded. */
  open(link?: { href?: string }): void;
  close(): void;
  /** Send a request without the dialog. Rejects with an Error that is a Refusal too. */
  submit(fields: Fields): Promise<Callback>;
  /** Call fn at every such event; at once if it is "ready" and that has been. Gives a function that ends this. */
  on<Name extends keyof Events>(event: Name, fn: (detail: Events[Name]) => void): () => void;
  /** Where the stub's functions put their calls: an array at first, then whatever runs them at once. */
  q: { push(call: QueuedCall): unknown };
}

type QueuedCall = [
  method: "open" | "close" | "submit" | "on",
  args?: any[],
  resolve?: (value: any) => void,
  reject?: (reason: any) => void,
];

interface Window {
  chaserCallback?: Api;
  fetch: typeof fetch;
  dataLayer?: unknown[];
  gtag?(command: "event", name: string): void;
  ym?(counter: number, command: "reachGoal", goal: string): void;
}

/* ---------- between the modules ---------- */

/** widget.js: tell the page of an event. */
type Emit = <Name extends keyof Events>(event: Name, detail?: Events[Name]) => void;

/** widget.js: an error that says why something was not accepted. */
type Refuse = (code: RefusalCode, status?: number, errors?: Refusal["errors"], retry_after?: number) =>
  Error & Refusal;

/** widget.js: ask for what is below v1/, by the browser's own fetch, whatever the page has made of it. Rejects with an
 * Error that is a Refusal: also after ten seconds, and when what came is not the service's, which has the field key. */
type Ask = (path: string, key: string, options?: RequestInit) => Promise<any>;

/** widget.js: an element with these properties and children. */
type Make = <Tag extends string>(
  tag: Tag,
  properties?: Record<string, unknown>,
  ...children: (Node | string)[]
) => Tag extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag] : HTMLElement;

/** What a request needs to be sent. */
interface Service {
  /** The site. */
  name: string;
  /** The query of the page's address when the widget was loaded. */
  landing: string;
  ask: Ask;
  emit: Emit;
  refuse: Refuse;
  /** The site's settings, asked for again if they did not come. */
  settings(): Promise<Site>;
}

/** dialog.js: build the dialog in the loader's shadow root. adopt: add a style sheet to that root. */
type Create = (parts: {
  service: Service;
  make: Make;
  adopt: (css: string) => void;
  root: ShadowRoot;
  site: Site;
  lang: Language;
  words: Words;
  api: Api;
}) => Dialog;

interface Dialog {
  open(): void;
  close(): void;
}

/** dialog.js: a field with its label, and the place where it is said what is wrong with it. name: as in the
 * request. */
type Field = (name: string, label: (Node | string)[], control: HTMLElement) => HTMLElement;

/** callbacks.js: add to the fields what every request has. The marks of a campaign (utm_…) the visitor came with go
 * into active_page, unless the present address has some. They are remembered as long as the page isn't left, and stored
 * nowhere. */
type Complete = (service: Service, fields: Fields) => Fields;

/** callbacks.js: send a request and follow what becomes of it. When no answer or a 503 came it is sent once more, with
 * the same request_id, so it stays one callback; so it is, with another challenge, where that was refused. Emits accepted
 * or refused, then status at every change for about a minute; not for a call that is planned for later. Rejects with an
 * Error that is a Refusal too. */
type Submit = (service: Service, fields: Fields) => Promise<Callback>;

/** callbacks.js: tell the page of an event, and the analytics the site names, if the site's settings are known. */
type Tell = <Name extends "open" | "accepted" | "refused">(
  service: Service, facts: Site | void, event: Name, detail?: Events[Name]) => void;

/** callbacks.js: is the call made at once, not later and not only perhaps? */
type IsNow = (callback: Callback) => boolean;

/** dialog.js: group the digits of a Russian or Kazakh number, as far as it is typed: "+7 916 123-45-67",
 * "8 916 123-45-67", "916 123-45-67". No digit is added, changed or lost. Every other text comes back as it is: without
 * a plus a number is only taken for one of these where the first of the regions is RU or KZ, as the service reads it;
 * and 81… may become +81, Japan. regions: those of the Site. */
type Format = (text: string, regions: string[]) => string;

/** dialog.js: format, and say where the caret belongs: behind the digit it was behind. caret: characters before it. */
type FormatAt = (text: string, caret: number, regions: string[]) => [text: string, caret: number];

/** Every word of the dialog in one language, the owner's in place of ours; see messages.ru.js. */
type Words = Record<string, string>;

/** dialog.js: the sentence for a refusal, by its code, else by its HTTP status. */
type Explain = (
  lang: Language,
  words: Words,
  refusal: { code: any; status?: number; retry_after?: number },
) => string;

/** dialog.js: a moment (ISO 8601): "tomorrow at 10:00 AM", "Tuesday, November 24 at 10:00 AM". */
type When = (lang: Language, moment: string) => string;

/** dialog.js: call open() at the first of these, once a day for each browser; that day is what it stores. Throws where
 * nothing can be stored. */
type Watch = (triggers: Triggers, on: Api["on"], open: () => void) => Promise<void>;

/** callbacks.js: bytes in hexadecimal digits. */
type Hex = (bytes: Uint8Array) => string;

/** An ALTCHA challenge of the second version, as GET /v1/challenge gives it: find the counter whose derived key begins
 * with keyPrefix. nonce, salt and keyPrefix are hexadecimal, cost is in rounds, keyLength in bytes. */
interface Challenge {
  parameters: { nonce: string; salt: string; cost: number; keyLength: number; keyPrefix: string };
  signature: string;
}

/** callbacks.js: find the counter; gives what the request carries as its challenge. Needs a page on HTTPS or localhost,
 * since browsers have crypto.subtle only there. */
type Solve = (challenge: Challenge) => Promise<string>;

/** callbacks.js: fetch a challenge and begin to solve it, unless one waits to be used. Gives its solution first, not
 * sooner than two seconds after it came, by no clock that could be set. */
type Prepare = (service: Pick<Service, "ask" | "name">) => Promise<[solution: string, waited: unknown]>;

/** callbacks.js: what was prepared, for one request. Rejects as ask() does. */
type Take = (service: Service) => Promise<string>;
