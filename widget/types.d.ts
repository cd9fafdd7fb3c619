// The types of the widget and the documentation of its functions, for the type check and for editors. They are global,
// so no module has to import them. A file of their own keeps the modules short.

/* ---------- responses of the service ---------- */

type Language = "ru" | "en";

type Status = "queued" | "placed" | "failed" | "unknown";

/** The body of GET /v1/sites/{site}. Times are ISO 8601 in UTC. */
interface Site {
  site: string;
  /** Whether pages of this origin may request callbacks. */
  allowed: boolean;
  /** Two-letter codes of the countries the site calls. */
  regions: string[];
  timezone: string;
  open: boolean;
  /** When a visitor who asks now is called; null if that is not known. */
  call_expected_at: string | null;
  /** The times a visitor may choose for the call, earliest first. */
  free_times: string[];
  departments: { id: string; name: string }[];
  /** The consent to ask for, or null. Without a text in the visitor's language the widget shows its own sentence. */
  consent: { url: string; version: string; text?: Partial<Record<Language, string>> } | null;
  /** The owner's texts, by language and by the names in messages.ru.js; and `button`. */
  texts: Partial<Record<Language, Record<string, string>>>;
  theme: {
    /** #rrggbb */
    color: string;
    scheme: "auto" | "light" | "dark";
    /** False if only the owner's own elements open the dialog. */
    button: boolean;
    /** An SVG path for a box of 24 by 24, as clip-path: path() takes it. */
    icon: string | null;
    position: "left" | "right";
    /** In CSS pixels, as all lengths here. */
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
  /** The number a visitor can call after a failure, such as +74951234567. */
  phone: string | null;
  /** Whether a request needs a solved challenge. */
  challenge: boolean;
}

/** When the dialog opens automatically: as the pointer leaves the page at the top, after this many seconds, or when
 * this percentage of the page has been scrolled. */
interface Triggers {
  exit_intent: boolean;
  seconds: number | null;
  scroll: number | null;
}

/** The body of GET /v1/callbacks/{id}. */
interface CallbackStatus {
  id: string;
  status: Status;
  call_expected_at: string | null;
}

/** The body of a 202. */
interface Callback extends CallbackStatus {
  created_at: string;
  /** False for visitors: a request for the same call is answered like a new one. */
  duplicate: boolean;
}

/** The codes of a Refusal: those of the service; "network" if no response came; "error" for a response without a code
 * and for an unexpected exception. With "invalid" the codes of the fields are in `errors`. The list may grow. */
type RefusalCode =
  | "network" | "error" | "invalid" | "origin_not_allowed" | "rate_limited" | "overloaded"
  | "quota_phone" | "quota_client" | "quota_client_phones" | "quota_site"
  | "challenge_missing" | "challenge_wrong" | "challenge_expired" | "challenge_too_fast" | "challenge_used"
  | (string & {});

/** Why a request was not accepted. */
interface Refusal {
  code: RefusalCode;
  /** The HTTP status; 0 if no response came. */
  status: number;
  errors: { field: string; code: string; detail: string }[];
  /** Seconds to wait before the next try; 0 if the service sent no Retry-After. */
  retry_after: number;
}

/* ---------- the API for the page: window.chaserCallback ---------- */

/** The argument of submit(). Missing active_page, referrer and request_id are filled in. */
interface Fields {
  /** As typed, in any notation. */
  client_phone: string;
  /** One of the site's free_times. Without it the call is made at once, or as soon as the site is open. */
  planned_time?: string;
  department?: string;
  consent?: {
    accepted: boolean;
    version: string;
    /** The sentence the visitor saw beside the checkbox. */
    text: string;
  };
  active_page?: string;
  referrer?: string;
  /** The idempotency key: two equal requests with the same one are one callback. */
  request_id?: string;
  /** The id of an earlier answer after which no phone rang: then this is no duplicate of it. */
  again?: string;
  [field: string]: unknown;
}

/** The events with the `detail` of each. In the document their names have a prefix: chaser-callback:ready. */
interface Events {
  ready: Site;
  open: undefined;
  close: undefined;
  accepted: Callback;
  refused: Refusal;
  status: CallbackStatus;
}

interface Api {
  /** True once the site's settings have loaded and the button is shown. */
  ready: boolean;
  /** link: followed if the dialog can't be loaded. */
  open(link?: { href?: string }): void;
  close(): void;
  /** Send a request without the dialog. Rejects with an Error that is also a Refusal. */
  submit(fields: Fields): Promise<Callback>;
  /** Call fn at each event of this name. If "ready" has already happened, call it at once. Returns a function that
   * removes the listener. */
  on<Name extends keyof Events>(event: Name, fn: (detail: Events[Name]) => void): () => void;
  /** The queue of the stub's calls: an array at first; later an object that runs each call at once. */
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

/* ---------- interfaces between the modules ---------- */

/** widget.js: dispatch an event to the page. */
type Emit = <Name extends keyof Events>(event: Name, detail?: Events[Name]) => void;

/** widget.js: make the Error for a request that was not accepted. */
type ApiError = (code: RefusalCode, status?: number, errors?: Refusal["errors"], retry_after?: number) =>
  Error & Refusal;

/** widget.js: fetch JSON from a path below v1/, with the browser's own fetch even if the page has replaced it. Rejects
 * with an Error that is a Refusal. So it does after ten seconds, and for a 2xx response without the field `key`: that
 * one is not the service's. */
type FetchJson = (path: string, key: string, options?: RequestInit) => Promise<any>;

/** widget.js, h(): create an element with these properties and children. */
type CreateElement = <Tag extends string>(
  tag: Tag,
  properties?: Record<string, unknown>,
  ...children: (Node | string)[]
) => Tag extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag] : HTMLElement;

/** What the modules need to send a request. */
interface Service {
  /** The name of the site. */
  name: string;
  /** The query of the page's address at the time the widget was loaded. */
  landing: string;
  fetchJson: FetchJson;
  emit: Emit;
  apiError: ApiError;
  /** Return the site's settings; after a failure fetch them again. */
  loadSettings(): Promise<Site>;
}

/** dialog.js: build the dialog in the loader's shadow root. addStyles: add a style sheet to that root. */
type Create = (parts: {
  service: Service;
  h: CreateElement;
  addStyles: (css: string) => void;
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

/** dialog.js: wrap a control with its label and a place for its error. name: as in the request. */
type Field = (name: string, label: (Node | string)[], control: HTMLElement) => HTMLElement;

/** callbacks.js: add active_page, referrer and request_id to the fields. The UTM parameters of the landing page go into
 * active_page, unless the current address has some. They are kept in memory only, until the visitor leaves the page. */
type Complete = (service: Service, fields: Fields) => Fields;

/** callbacks.js: send a request and poll its status. After no response or a 503 it is sent once more with the same
 * request_id, so it stays one callback. After a refused challenge it is sent once more with a new one. Emits
 * `accepted` or `refused`. Then emits `status` at each change for about a minute, unless the call is planned for
 * later. Rejects with an Error that is also a Refusal. */
type Submit = (service: Service, fields: Fields) => Promise<Callback>;

/** callbacks.js: emit an event, and report it to the analytics of the site's settings, if these have loaded. */
type Track = <Name extends "open" | "accepted" | "refused">(
  service: Service, settings: Site | void, event: Name, detail?: Events[Name]) => void;

/** callbacks.js: whether the call is expected within 90 seconds of the request. False if no time is known. */
type IsNow = (callback: Callback) => boolean;

/** dialog.js: group the digits of a Russian or Kazakh number, also of an incomplete one: "+7 916 123-45-67",
 * "8 916 123-45-67", "916 123-45-67". No digit is added, changed or lost. Any other text is returned unchanged. Without
 * a plus a number counts as Russian or Kazakh only if the first region is RU or KZ, as the service parses it. A number
 * that begins with 81 may still become +81, Japan. regions: those of the Site. */
type Format = (text: string, regions: string[]) => string;

/** dialog.js: format a text, and return the new position of the caret, which stays behind the same digit. caret: the
 * number of characters before it. */
type FormatAt = (text: string, caret: number, regions: string[]) => [text: string, caret: number];

/** All texts of the dialog in one language, with the owner's replacements; see messages.ru.js. */
type Words = Record<string, string>;

/** dialog.js: return the sentence for a refusal, chosen by its code and its HTTP status. */
type Explain = (
  lang: Language,
  words: Words,
  refusal: { code: any; status?: number; retry_after?: number },
) => string;

/** dialog.js: format a time (ISO 8601): "tomorrow at 10:00 AM", "Tuesday, November 24 at 10:00 AM". */
type When = (lang: Language, moment: string) => string;

/** dialog.js: call open() at the first of these triggers, once a day for each browser. Only the date of that day is
 * stored, in localStorage. Rejects if storage is blocked. */
type InstallTriggers = (triggers: Triggers, on: Api["on"], open: () => void) => Promise<void>;

/** callbacks.js: convert bytes to hexadecimal digits. */
type Hex = (bytes: Uint8Array) => string;

/** An ALTCHA challenge, version 2, from GET /v1/challenge: find the counter for which the derived key begins with
 * keyPrefix. nonce, salt and keyPrefix are hexadecimal, cost is in PBKDF2 iterations, keyLength in bytes. */
interface Challenge {
  parameters: { nonce: string; salt: string; cost: number; keyLength: number; keyPrefix: string };
  signature: string;
}

/** callbacks.js: find the counter, and return the text for the request's field `challenge`. Needs a page on HTTPS or
 * localhost: browsers provide crypto.subtle only there. */
type Solve = (challenge: Challenge) => Promise<string>;

/** callbacks.js: fetch a challenge and start to solve it, unless an unused one is prepared. Resolves at the earliest
 * two seconds after the challenge arrived. A timer measures that, because the computer's clock may be changed. */
type Prepare = (service: Pick<Service, "fetchJson" | "name">) => Promise<[solution: string, waited: unknown]>;

/** callbacks.js: return the prepared solution, for one request. Rejects as fetchJson() does. */
type TakeSolution = (service: Service) => Promise<string>;
