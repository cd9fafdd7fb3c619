// The types of the widget and the documentation of its functions, for the type check and for editors. Global, so that
// no module has to import them. They are here and not in the modules because a visitor would pay for them there.

/* ---------- what the service says ---------- */

type Language = "ru" | "en";

type Status = "held" | "queued" | "sending" | "delivered" | "failed" | "unknown" | "cancelled";

/** What GET /v1/sites/{site} says. Times are ISO 8601 in UTC. */
interface Site {
  site: string;
  /** Two-letter codes of the countries the site calls. */
  regions: string[];
  timezone: string;
  open: boolean;
  /** When somebody who asks now is called; null when that can't be said. */
  call_expected_at: string | null;
  departments: { id: string; name: string }[];
  /** The consent to ask for, or null. Without a text in the visitor's language the widget's own sentence is shown. */
  consent: { url: string; version: string; text?: Partial<Record<Language, string>> } | null;
  /** The owner's words, by language and by the names in messages.js. */
  texts: Partial<Record<Language, Record<string, string>>>;
  /** color: #rgb or #rrggbb. */
  theme: { color: string; position: "left" | "right" };
  /** The number a visitor can call when things fail, as +74951234567. */
  phone: string | null;
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

/** Why a request was not accepted. */
interface Refusal {
  /** The service's code; "network" when no answer came, "error" when it came without a code. */
  code: string;
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
  open(): void;
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
}

/* ---------- between the modules ---------- */

/** widget.js: tell the page of an event. */
type Emit = <Name extends keyof Events>(event: Name, detail?: Events[Name]) => void;

/** widget.js: an element with these properties and children. */
type Make = <Tag extends string>(
  tag: Tag,
  properties?: Record<string, unknown>,
  ...children: (Node | string)[]
) => Tag extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag] : HTMLElement;

/** dialog.js: build the dialog in the loader's shadow root. adopt: add a style sheet to that root. */
type Create = (parts: {
  make: Make;
  adopt: (css: string) => void;
  root: ShadowRoot;
  site: Site;
  lang: Language;
  api: Api;
  emit: Emit;
}) => Dialog;

interface Dialog {
  open(): void;
  close(): void;
}

/** dialog.js: where it is said what is wrong with a field, or with the whole; say() without a text clears it. */
type Complaint = HTMLElement & { say(text?: string): void };

/** callbacks.js: send a request and follow what becomes of it. When no answer or a 503 came it is sent once more, with
 * the same request_id, so it stays one callback. Emits accepted or refused, then status at every change for about a
 * minute; not for a call that is planned for later.
 * base: the service's address with its last slash. Rejects with an Error that is a Refusal too. */
type Submit = (base: string, site: string, fields: Fields, emit: Emit) => Promise<Callback>;

/** callbacks.js: is the call made at once, not later and not only perhaps? */
type IsNow = (callback: Callback) => boolean;

/** phone.js: write a number of +7 as "+7 916 123-45-67", as far as it is typed; every other text comes back as it is.
 * A first 8 or 7 without a plus means +7 only before a digit that Russian and Kazakh numbers go on with: 81… may become
 * +81, Japan. */
type Format = (text: string) => string;

/** phone.js: format, and say where the caret belongs: behind the digit it was behind. caret: characters before it. */
type FormatAt = (text: string, caret: number) => [text: string, caret: number];

/** phone.js: what is plainly wrong with a number, as a code of the service; undefined when it is worth sending. */
type Fault = (text: string) => "phone_missing" | "phone_too_short" | undefined;

/** Every word of the dialog; see messages.js. */
type Words = Record<string | number, string>;

/** messages.js: the words in one language, the owner's own in place of ours. */
type Messages = (lang: Language, site: Site) => Words;

/** messages.js: the sentence for a refusal, by its code, else by its HTTP status. */
type Explain = (words: Words, refusal: { code: string; status?: number; retry_after?: number }) => string;

/** messages.js: a moment (ISO 8601) on the visitor's own clock: "tomorrow at 10:00", "24 November at 10:00". */
type When = (words: Words, moment: string) => string;
