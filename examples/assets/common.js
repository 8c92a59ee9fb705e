// What every page shares: its language, its service, requests, and building the document.
//
// One global, `agent`. This file gives it the means, common-ui.js (loaded next) the visible parts. A page loads
//   <script src="assets/common.js" defer>, <script src="assets/common-ui.js" defer>, then its own.
//
//   agent.t(key, vars)            a text in the page's language; {name} is filled from vars, numbers in its digits.
//                                 A text can be {one, other}: vars.count chooses.
//   agent.addTexts({en, fa})      adds texts, and fills the markup that carries data-i18n, data-i18n-label,
//                                 data-i18n-placeholder or data-i18n-title
//   agent.language, agent.setLanguage("en"|"fa")    document then gets the event `languagechange`
//   agent.number(n, options)      Intl.NumberFormat in the page's language
//   agent.time(date)              the time of day; of another day, with the date. agent.date(date): always with it
//   agent.duration(milliseconds)  "340 ms", "1.2 s"
//   agent.el(tag, props, ...children)   see below
//   agent.store.get/set/remove(name[, value])       JSON in localStorage; agent.store.tab: in sessionStorage.
//                                 Where storage is blocked, nothing breaks: it lasts as long as the page.
//   agent.root()                  the service's address, with "/" at its end: one for as long as the page is loaded
//   agent.secret.get/set/remove(name[, value])      a key or token of this tab, given only while the page has the service
//                                 that it was entered for
//   agent.request(method, path, {body, headers, signal, timeout})   → {status, headers, body, requestId}
//   agent.open(method, path, {body, headers, signal})               → Response, for reading its body as it comes
//   agent.Failure                 what both reject with: {status, code, message, details, requestId, retryAfter
//                                 (seconds), kind: "network"|"http"|"aborted"}
"use strict";

const agent = {};

// ---- Storage

{
  const area = (name) => {
    // What storage would not take.
    const memory = new Map();
    const key = (name) => `chat-agent.${name}`;
    return {
      get(item) {
        try {
          return JSON.parse(memory.get(item) ?? window[name].getItem(key(item)));
        } catch {
          return null;
        }
      },
      set(item, value) {
        try {
          window[name].setItem(key(item), JSON.stringify(value));
          memory.delete(item);
        } catch {
          memory.set(item, JSON.stringify(value));
        }
      },
      remove(item) {
        memory.delete(item);
        try {
          window[name].removeItem(key(item));
        } catch {
          // There is nothing to remove from.
        }
      },
    };
  };
  agent.store = { ...area("localStorage"), tab: area("sessionStorage") };
}

// ---- Language

{
  const locales = { en: "en", fa: "fa-IR" };
  const texts = { en: {}, fa: {} };
  // Elements whose text or label is a function: asked anew when the language changes.
  const live = new WeakMap();

  const known = (language) => (Object.hasOwn(locales, language) ? language : undefined);
  const preferred = (navigator.languages ?? []).map((tag) => known(tag.split("-")[0])).find(Boolean);
  agent.language = known(agent.store.get("language")) ?? preferred ?? "en";

  agent.t = (key, vars = {}) => {
    let text = texts[agent.language][key] ?? texts.en[key] ?? key;
    if (typeof text === "object") {
      text = text[new Intl.PluralRules(locales[agent.language]).select(vars.count)] ?? text.other;
    }
    const value = (name) => (typeof vars[name] === "number" ? agent.number(vars[name]) : String(vars[name] ?? ""));
    return text.replace(/\{(\w+)\}/g, (_, name) => value(name));
  };

  agent.number = (number, options) => new Intl.NumberFormat(locales[agent.language], options).format(number);

  const dateTime = (date, options) => new Intl.DateTimeFormat(locales[agent.language], options).format(new Date(date));
  agent.date = (date) => dateTime(date, { dateStyle: "medium", timeStyle: "short" });
  agent.time = (date) => {
    const isToday = new Date(date).toDateString() === new Date().toDateString();
    return isToday ? dateTime(date, { timeStyle: "short" }) : agent.date(date);
  };

  agent.duration = (milliseconds) => {
    const isShort = milliseconds < 1000;
    const unit = { style: "unit", unit: isShort ? "millisecond" : "second", maximumFractionDigits: isShort ? 0 : 1 };
    return agent.number(isShort ? milliseconds : milliseconds / 1000, unit);
  };

  const attributes = { i18nLabel: "aria-label", i18nPlaceholder: "placeholder", i18nTitle: "title" };
  const selector = "[data-i18n], [data-i18n-label], [data-i18n-placeholder], [data-i18n-title]";
  agent.applyTexts = () => {
    document.documentElement.lang = agent.language;
    document.documentElement.dir = agent.language === "fa" ? "rtl" : "ltr";
    for (const element of document.querySelectorAll(selector)) {
      if (element.dataset.i18n) element.textContent = agent.t(element.dataset.i18n);
      for (const [name, attribute] of Object.entries(attributes)) {
        if (element.dataset[name]) element.setAttribute(attribute, agent.t(element.dataset[name]));
      }
    }
    for (const element of document.querySelectorAll("[data-live]")) {
      live.get(element)?.forEach((update) => update());
    }
  };

  // update() is called now, and again whenever the language changes.
  agent.keepLive = (element, update) => {
    element.dataset.live = "";
    live.set(element, [...(live.get(element) ?? []), update]);
    update();
  };

  agent.addTexts = (added) => {
    for (const language of Object.keys(texts)) Object.assign(texts[language], added[language]);
    agent.applyTexts();
  };

  agent.setLanguage = (language) => {
    agent.language = known(language) ?? "en";
    agent.store.set("language", agent.language);
    agent.applyTexts();
    document.dispatchEvent(new Event("languagechange"));
  };
}

// ---- The document

// agent.el("button", {class: "button", id: "send", onclick: f, text: …, label: …, data: {…}, …}, child, "text", null, …)
//   text, label (aria-label), title: a string, or a function that gives one; a function is asked again when the language changes
//   data: dataset; on…: listeners; value, and what is true or false (hidden, disabled, checked…): properties; anything else: attributes,
//   left out when null, undefined or false. Children are nodes or strings; null and false are skipped.
agent.el = (tag, props = {}, ...children) => {
  const element = document.createElement(tag);
  const put = (value, write) => {
    if (typeof value === "function") agent.keepLive(element, () => write(value()));
    else if (value !== null && value !== undefined) write(value);
  };
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "text") put(value, (text) => { element.textContent = text; });
    else if (name === "label") put(value, (text) => element.setAttribute("aria-label", text));
    else if (name === "title") put(value, (text) => { element.title = text; });
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof element[name] === "boolean") element[name] = Boolean(value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    if (name === "value") element.value = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

agent.byId = (id) => document.getElementById(id);

// ---- The service

agent.Failure = class Failure extends Error {
  constructor({ kind, status = 0, code = kind, message = "", details = {}, requestId = null, retryAfter = null }) {
    super(message);
    Object.assign(this, { kind, status, code, details, requestId, retryAfter });
  }

  // Of an error body as the service writes it, in an answer or in a stream.
  static ofBody(body, status = 0, headers = new Headers()) {
    const isLimit = body?.error === "rate_limited";
    const error = isLimit ? { code: "rate_limited" } : (body?.error ?? {});
    const seconds = isLimit ? body.retry_after : Number.parseFloat(headers.get("Retry-After") ?? "");
    return new Failure({
      kind: "http",
      status,
      code: error.code ?? `http_${status}`,
      message: error.message,
      details: error.details,
      requestId: body?.request_id ?? headers.get("X-Request-ID"),
      retryAfter: Number.isFinite(seconds) ? seconds : null,
    });
  }

  static ofException(error, signal) {
    if (error instanceof Failure) return error;
    const isAborted = signal?.aborted || error?.name === "AbortError";
    return new Failure({ kind: isAborted ? "aborted" : "network", message: String(error?.message ?? error) });
  }
};

{
  // The pages are served beside the API: its root is where assets/ lies. A page opened as a file asks for it.
  const beside = new URL("..", document.currentScript.src).href;
  const isFile = location.protocol === "file:";
  agent.isStandalone = isFile || location.pathname.endsWith(".html");
  agent.defaultRoot = isFile ? "http://localhost:8000/" : beside;

  // Read once: what another tab chooses is for when this one is loaded anew. Until then requests go where the page says.
  const chosen = (agent.isStandalone && agent.store.get("root")) || agent.defaultRoot;
  const root = chosen.endsWith("/") ? chosen : `${chosen}/`;
  agent.root = () => root;

  // A page opened as a file can be pointed at another service, which must not be told what this one's key is.
  agent.secret = {
    get(name) {
      const kept = agent.store.tab.get(name);
      return kept?.root === root ? kept.secret : null;
    },
    set: (name, secret) => agent.store.tab.set(name, { root, secret }),
    remove: (name) => agent.store.tab.remove(name),
  };

  agent.open = async (method, path, { body, headers = {}, signal } = {}) => {
    const init = { method, headers: { ...headers }, signal, cache: "no-store", credentials: "omit" };
    if (body !== undefined) {
      init.headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(new URL(path.replace(/^\//, ""), agent.root()), init);
    } catch (error) {
      throw agent.Failure.ofException(error, signal);
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => null);
    throw agent.Failure.ofBody(answer, response.status, response.headers);
  };

  // Waits at most `timeout` milliseconds: a service that accepts and never answers is one that is away.
  agent.request = async (method, path, { body, headers, signal, timeout = 30_000 } = {}) => {
    const ender = new AbortController();
    const timer = setTimeout(() => ender.abort(), timeout);
    const end = () => ender.abort();
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
    try {
      const response = await agent.open(method, path, { body, headers, signal: ender.signal });
      const text = await response.text();
      const isJson = response.headers.get("Content-Type")?.includes("json");
      const { status } = response;
      const requestId = response.headers.get("X-Request-ID");
      try {
        return { status, headers: response.headers, body: isJson && text ? JSON.parse(text) : text || null, requestId };
      } catch {
        // It was answered, though not by the service.
        throw new agent.Failure({ kind: "http", code: "unreadable", status, requestId });
      }
    } catch (error) {
      const failure = agent.Failure.ofException(error, ender.signal);
      if (failure.kind === "aborted" && !signal?.aborted) {
        throw new agent.Failure({ kind: "network", message: `no answer within ${timeout} ms` });
      }
      throw failure;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  };
}
