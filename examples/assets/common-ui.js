// The visible parts that every page shares. Adds to the global `agent`:
//
//   The header (navigation, language, the service's address when opened as a file) is built at once into
//   <header id="site-header"></header>; <body data-page="chat|metrics|admin"> says which page this is.
//   <p class="secret-target" hidden></p>, where a key or token is entered, then says to whom it will be sent.
//
//   agent.icon(name)              an <svg>: see `shapes` below; in markup <button data-icon="name">
//   agent.button(key, {icon, class, ...props})     a button whose text is agent.t(key); class "icon-only" hides the text
//   agent.copy(text)              → true if it is in the clipboard
//   agent.copyButton(getText, key = "copy")        a button that copies, and says so
//   agent.announce(text)          tells screen readers
//   agent.describe(failure)       → {title, advice} in the reader's words
//   agent.showError(container, failure, {retry, dismiss, actions})   fills the container with the failure; a retry function
//                                 gives a button, which counts down first when the service asks to wait; actions: more
//                                 buttons
//   agent.confirm({title, text, confirm, danger})  asks in a dialog → true or false. All but danger are texts already
//                                 in the page's language.
//
// base.css has the classes: button (primary, danger, quiet, icon-only), field, card, badge (good, warn, bad, info),
// table-scroll, error-box, note, empty, spinner, row, stack, spread, muted, mono, visually-hidden, page (for <main>).
"use strict";

agent.addTexts({
  en: {
    "brand": "Chat Agent", "nav": "Pages", "nav.chat": "Chat", "nav.metrics": "Metrics", "nav.admin": "Administration",
    "skip": "Skip to the content", "switch": "فارسی",
    "address": "Service address", "address.hint": "Where the service answers, for example {example}", "address.save": "Use",
    "address.wrong": "That is no web address. It should look like {example}.", "secret.target": "It will be sent to {address}",
    "retry": "Try again", "retry.in": "Try again in {seconds} s", "cancel": "Cancel", "close": "Close", "dismiss": "Dismiss",
    "copy": "Copy", "copied": "Copied", "copy.failed": "Could not copy", "request": "Request", "copy.request": "Copy the request’s number", "said": "What the service said",
    "loading": "Loading…",
    "failure.network": "The service cannot be reached", "advice.network": "It may be restarting, or the connection is gone. Nothing of yours is lost.",
    "failure.aborted": "Stopped", "advice.aborted": "You stopped it.",
    "failure.rate_limited": "Too many requests", "advice.rate_limited": "The service takes only so many at a time. Wait a moment, then try again.",
    "failure.missing_api_key": "This service asks for a key", "advice.missing_api_key": "Enter the key that its operator gave you.",
    "failure.invalid_api_key": "The key was not accepted", "advice.invalid_api_key": "Check it for typing mistakes, or ask the operator for another.",
    "failure.missing_admin_token": "A token is needed", "advice.missing_admin_token": "Enter the administration token of this service.",
    "failure.invalid_admin_token": "The token was not accepted", "advice.invalid_admin_token": "Check it for typing mistakes.",
    "failure.admin_disabled": "Administration is switched off", "advice.admin_disabled": "The operator has set no ADMIN_TOKEN.",
    "failure.session_not_found": "This conversation is gone", "advice.session_not_found": "It has expired, or somebody deleted it.",
    "failure.session_busy": "This conversation is busy", "advice.session_busy": "Other messages of it are still being answered. Wait a moment, then try again.",
    "failure.invalid_memory_limit": "The memory limit is too large", "advice.invalid_memory_limit": "You asked for {requested} messages; at most {maximum} are possible here.",
    "failure.validation_error": "The service refused this", "advice.validation_error": "Something in it is not as it should be. Correct it and try again.",
    "failure.unknown_tool": "There is no such tool", "advice.unknown_tool": "See below which ones there are.",
    "failure.payload_too_large": "That is too long", "advice.payload_too_large": "Shorten it, or send it in parts.",
    "failure.provider_error": "The model did not answer", "advice.provider_error": "Try again in a moment.",
    "advice.provider_error.auth": "The model refused the service’s credentials: the operator has to look after that.",
    "advice.provider_error.rate_limited": "The model has too much to do at the moment. Try again a little later.",
    "advice.provider_error.timeout": "It took too long. Try again, or ask for something shorter.",
    "advice.provider_error.unavailable": "It cannot be reached at the moment. Try again a little later.",
    "advice.provider_error.invalid_response": "It answered with nothing that could be used. Try again, or put it differently.",
    "advice.provider_error.rejected": "It refused the request: perhaps the conversation is too long for it, or an option is not known to it.",
    "failure.tool_error": "The tool could not be used", "advice.tool_error": "It is out of order at the moment. Try again later, or without it.",
    "failure.provider_unconfigured": "No model is set up yet", "advice.provider_unconfigured": "The operator has to give the service the credentials of a model.",
    "failure.tools_unavailable": "A tool that is needed is away", "advice.tools_unavailable": "Try again in a moment.",
    "failure.storage_unavailable": "The memory cannot be reached", "advice.storage_unavailable": "Try again in a moment.",
    "failure.capacity": "The service is full", "advice.capacity": "No more conversations fit at the moment. Delete one, or try again later.",
    "failure.turn_timeout": "The answer took too long", "advice.turn_timeout": "Try again, or ask for something shorter.",
    "failure.internal_error": "Something went wrong in the service", "advice.internal_error": "Try again. If it goes on, give the operator the number of the request.",
    "failure.unavailable": "The service is not ready", "advice.unavailable": "Try again in a moment.",
    "failure.other": "That did not work", "advice.other": "Try again. If it goes on, give the operator the number of the request.",
  },
  fa: {
    "brand": "گفت‌وگویار", "nav": "صفحه‌ها", "nav.chat": "گفت‌وگو", "nav.metrics": "آمار", "nav.admin": "مدیریت",
    "skip": "پرش به محتوا", "switch": "English",
    "address": "نشانی سرویس", "address.hint": "جایی که سرویس پاسخ می‌دهد، مانند {example}", "address.save": "به‌کار ببر",
    "address.wrong": "این نشانی وب نیست. باید مانند {example} باشد.", "secret.target": "به {address} فرستاده می‌شود",
    "retry": "تلاش دوباره", "retry.in": "تلاش دوباره تا {seconds} ثانیه", "cancel": "انصراف", "close": "بستن", "dismiss": "پنهان کن",
    "copy": "رونوشت", "copied": "رونوشت شد", "copy.failed": "رونوشت نشد", "request": "درخواست", "copy.request": "رونوشت شمارهٔ درخواست", "said": "گفتهٔ سرویس",
    "loading": "در حال بار شدن…",
    "failure.network": "سرویس در دسترس نیست", "advice.network": "شاید در حال راه‌اندازی است یا ارتباط قطع شده. چیزی از شما گم نمی‌شود.",
    "failure.aborted": "متوقف شد", "advice.aborted": "شما آن را متوقف کردید.",
    "failure.rate_limited": "درخواست‌ها بیش از اندازه‌اند", "advice.rate_limited": "سرویس هم‌زمان به شمار محدودی می‌رسد. کمی صبر کنید و دوباره بکوشید.",
    "failure.missing_api_key": "این سرویس کلید می‌خواهد", "advice.missing_api_key": "کلیدی را که گردانندهٔ سرویس به شما داده وارد کنید.",
    "failure.invalid_api_key": "کلید پذیرفته نشد", "advice.invalid_api_key": "شاید غلط نوشته شده باشد؛ یا از گرداننده کلید دیگری بخواهید.",
    "failure.missing_admin_token": "توکن لازم است", "advice.missing_admin_token": "توکن مدیریت این سرویس را وارد کنید.",
    "failure.invalid_admin_token": "توکن پذیرفته نشد", "advice.invalid_admin_token": "شاید غلط نوشته شده باشد.",
    "failure.admin_disabled": "مدیریت خاموش است", "advice.admin_disabled": "گردانندهٔ سرویس ADMIN_TOKEN را تنظیم نکرده است.",
    "failure.session_not_found": "این گفت‌وگو دیگر نیست", "advice.session_not_found": "زمانش گذشته یا کسی آن را پاک کرده است.",
    "failure.session_busy": "این گفت‌وگو مشغول است", "advice.session_busy": "پیام‌های دیگر آن هنوز در حال پاسخ‌اند. کمی صبر کنید و دوباره بکوشید.",
    "failure.invalid_memory_limit": "حد حافظه زیاد است", "advice.invalid_memory_limit": "{requested} پیام خواستید؛ اینجا بیشینه {maximum} است.",
    "failure.validation_error": "سرویس این را نپذیرفت", "advice.validation_error": "چیزی در آن درست نیست. درستش کنید و دوباره بکوشید.",
    "failure.unknown_tool": "چنین ابزاری نیست", "advice.unknown_tool": "ابزارهای موجود را پایین ببینید.",
    "failure.payload_too_large": "بیش از اندازه بلند است", "advice.payload_too_large": "کوتاهش کنید یا تکه‌تکه بفرستید.",
    "failure.provider_error": "مدل پاسخ نداد", "advice.provider_error": "کمی بعد دوباره بکوشید.",
    "advice.provider_error.auth": "مدل، دسترسی سرویس را نپذیرفت: گرداننده باید رسیدگی کند.",
    "advice.provider_error.rate_limited": "مدل اکنون بسیار مشغول است. کمی بعد دوباره بکوشید.",
    "advice.provider_error.timeout": "بیش از اندازه طول کشید. دوباره بکوشید یا چیز کوتاه‌تری بخواهید.",
    "advice.provider_error.unavailable": "اکنون در دسترس نیست. کمی بعد دوباره بکوشید.",
    "advice.provider_error.invalid_response": "پاسخی داد که به کار نمی‌آید. دوباره بکوشید یا جور دیگری بپرسید.",
    "advice.provider_error.rejected": "درخواست را نپذیرفت: شاید گفت‌وگو برایش بلند است یا گزینه‌ای را نمی‌شناسد.",
    "failure.tool_error": "ابزار به کار نیفتاد", "advice.tool_error": "اکنون از کار افتاده است. بعدتر یا بدون آن بکوشید.",
    "failure.provider_unconfigured": "هنوز مدلی تنظیم نشده است", "advice.provider_unconfigured": "گرداننده باید دسترسی یک مدل را به سرویس بدهد.",
    "failure.tools_unavailable": "ابزاری که لازم است در دسترس نیست", "advice.tools_unavailable": "کمی بعد دوباره بکوشید.",
    "failure.storage_unavailable": "حافظه در دسترس نیست", "advice.storage_unavailable": "کمی بعد دوباره بکوشید.",
    "failure.capacity": "سرویس پر است", "advice.capacity": "اکنون گفت‌وگوی دیگری جا نمی‌شود. یکی را پاک کنید یا بعدتر بکوشید.",
    "failure.turn_timeout": "پاسخ بیش از اندازه طول کشید", "advice.turn_timeout": "دوباره بکوشید یا چیز کوتاه‌تری بخواهید.",
    "failure.internal_error": "در سرویس خطایی رخ داد", "advice.internal_error": "دوباره بکوشید. اگر ادامه داشت، شمارهٔ درخواست را به گرداننده بدهید.",
    "failure.unavailable": "سرویس آماده نیست", "advice.unavailable": "کمی بعد دوباره بکوشید.",
    "failure.other": "نشد", "advice.other": "دوباره بکوشید. اگر ادامه داشت، شمارهٔ درخواست را به گرداننده بدهید.",
  },
});

// ---- Icons and buttons

{
  const shapes = {
    alert: "M12 8v5M12 16.5v.01M10.3 3.9 2.2 18a2 2 0 0 0 1.7 3h16.2a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0Z",
    check: "m5 12.5 4.5 4.5L19 7.5",
    chevron: "m9 6 6 6-6 6",
    clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7.5V12l3 2",
    close: "M6 6l12 12M18 6 6 18",
    columns: "M4 5h16v14H4zM12 5v14",
    copy: "M9 9h10v11H9zM5 15V4h10",
    down: "M12 5v14M6 13l6 6 6-6",
    download: "M12 4v11M7 11l5 5 5-5M5 20h14",
    key: "M8 12a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM10.9 13.1 20 4M16 8l3 3",
    language: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18",
    menu: "M4 7h16M4 12h16M4 17h16",
    plus: "M12 5v14M5 12h14",
    refresh: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
    search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l5 5",
    send: "M12 20V5M5.5 11.5 12 5l6.5 6.5",
    settings: "M4 7h9M17 7h3M15 4.5v5M4 17h3M11 17h9M9 14.5v5",
    stop: "M7 7h10v10H7z",
    tool: "M14.5 6.5a4 4 0 0 0-5.3 5.3L4 17l3 3 5.2-5.2a4 4 0 0 0 5.3-5.3L15 12l-3-3 2.5-2.5Z",
    trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  };
  const svg = "http://www.w3.org/2000/svg";

  agent.icon = (name) => {
    const icon = document.createElementNS(svg, "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("class", `icon icon-${name}`);
    icon.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(svg, "path");
    path.setAttribute("d", shapes[name]);
    icon.append(path);
    return icon;
  };

  // In markup: <button data-icon="plus">
  for (const element of document.querySelectorAll("[data-icon]")) element.prepend(agent.icon(element.dataset.icon));

  agent.button = (key, { icon, class: classes = "", ...props } = {}) => {
    const text = agent.el("span", { text: () => agent.t(key) });
    const isIcon = classes.split(" ").includes("icon-only");
    if (isIcon) text.className = "visually-hidden";
    const title = isIcon ? () => agent.t(key) : null;
    const fixed = { type: "button", class: `button ${classes}`.trim(), title };
    return agent.el("button", { ...fixed, ...props }, icon && agent.icon(icon), text);
  };
}

// ---- The clipboard, and what screen readers are told

{
  // Where the clipboard is not given to pages: without https.
  const copyBySelection = (text) => {
    const area = agent.el("textarea", { class: "visually-hidden", value: text, "aria-hidden": "true" });
    const focused = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return isCopied;
  };

  agent.copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copyBySelection(text);
    }
  };

  agent.copyButton = (getText, key = "copy") => {
    const button = agent.button(key, { icon: "copy", class: "quiet icon-only" });
    let timer;
    button.addEventListener("click", async () => {
      const isCopied = await agent.copy(getText());
      agent.announce(agent.t(isCopied ? "copied" : "copy.failed"));
      button.firstChild.replaceWith(agent.icon(isCopied ? "check" : "alert"));
      clearTimeout(timer);
      timer = setTimeout(() => button.firstChild.replaceWith(agent.icon("copy")), 1500);
    });
    return button;
  };

  const announcer = agent.el("div", { id: "announcer", class: "visually-hidden", role: "status" });
  document.body.append(announcer);
  agent.announce = (text) => {
    announcer.textContent = text;
  };
}

// ---- Failures

{
  const has = (key) => agent.t(key) !== key;

  agent.describe = (failure) => {
    const { code, details } = failure;
    const name = has(`failure.${code}`) ? code : failure.status === 503 ? "unavailable" : "other";
    const kind = `advice.${name}.${details?.kind}`;
    return { title: agent.t(`failure.${name}`), advice: agent.t(has(kind) ? kind : `advice.${name}`, details ?? {}) };
  };

  // A button that cannot be pressed before the seconds are over.
  const retryButton = (retry, seconds) => {
    let left = Math.ceil(seconds ?? 0);
    const label = agent.el("span", { text: () => (left > 0 ? agent.t("retry.in", { seconds: left }) : agent.t("retry")) });
    const button = agent.el("button", { type: "button", class: "button", disabled: left > 0, onclick: retry, data: { testid: "retry" } }, agent.icon("refresh"), label);
    const timer = setInterval(() => {
      left -= 1;
      label.textContent = left > 0 ? agent.t("retry.in", { seconds: left }) : agent.t("retry");
      button.disabled = left > 0;
      if (left <= 0) clearInterval(timer);
    }, 1000);
    return button;
  };

  // The reader's words come first; what the service said is English and at times exact about what is wrong: it unfolds.
  const exactCodes = ["validation_error", "unknown_tool"];

  agent.showError = (container, failure, { retry, dismiss, actions: others = [] } = {}) => {
    const { el } = agent;
    const words = el(
      "div", { role: "alert" },
      el("strong", { class: "error-title", text: () => agent.describe(failure).title }),
      el("p", { text: () => agent.describe(failure).advice }),
    );
    const said = failure.kind === "http" && failure.message && el(
      "details", { open: exactCodes.includes(failure.code) },
      el("summary", { text: () => agent.t("said") }),
      el("p", { class: "said", dir: "ltr", lang: "en", text: failure.message }),
    );
    const request = failure.requestId && el(
      "span", { class: "request-id" },
      el("span", { text: () => `${agent.t("request")} ` }),
      el("code", { dir: "ltr", text: failure.requestId, data: { testid: "request-id" } }),
      agent.copyButton(() => failure.requestId, "copy.request"),
    );
    const actions = (retry || dismiss || request || others.length > 0) && el(
      "div", { class: "row error-actions" },
      retry && retryButton(retry, failure.retryAfter),
      dismiss && agent.button("dismiss", { class: "quiet", onclick: dismiss, data: { testid: "dismiss" } }),
      ...others,
      request,
    );
    const body = el("div", { class: "error-body" }, words, said, actions);
    container.replaceChildren(el("div", { class: "error-box", data: { testid: "error", code: failure.code } }, agent.icon("alert"), body));
  };
}

// ---- Dialogs

agent.confirm = ({ title, text, confirm, danger = false }) =>
  new Promise((resolve) => {
    const { el } = agent;
    const close = (answer) => () => dialog.close(answer);
    const yes = el("button", { type: "button", id: "confirm-yes", class: `button ${danger ? "danger" : "primary"}`, text: confirm, onclick: close("yes") });
    const dialog = el(
      "dialog", { id: "confirm-dialog", "aria-labelledby": "confirm-title" },
      el("h2", { id: "confirm-title", dir: "auto", text: title }),
      el("p", { dir: "auto", text }),
      el("div", { class: "row dialog-actions" }, agent.button("cancel", { id: "confirm-no", autofocus: true, onclick: close("no") }), yes),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });

// ---- The header

{
  const { el } = agent;
  const current = document.body.dataset.page;
  // Where the pages lie as files, and where the service has them.
  const files = { chat: "chat.html", metrics: "metrics.html", admin: "admin.html" };
  const served = { chat: "chat", metrics: "metrics/ui", admin: "admin/ui" };
  const address = (page) => (agent.isStandalone ? files[page] : new URL(served[page], agent.root()).href);

  const link = (page) =>
    el("a", { href: address(page), "aria-current": page === current ? "page" : null, text: () => agent.t(`nav.${page}`), data: { testid: `nav-${page}` } });

  const other = () => (agent.language === "fa" ? "en" : "fa");
  const switchText = el("span", { text: () => agent.t("switch") });
  agent.keepLive(switchText, () => { switchText.lang = other(); });
  const languageSwitch = el("button", { type: "button", id: "language-switch", class: "button quiet", onclick: () => agent.setLanguage(other()) }, agent.icon("language"), switchText);

  const leftToRight = (address) => `\u2066${address}\u2069`; // also within Persian

  const addressForm = () => {
    const example = leftToRight("http://localhost:8000");
    const input = el("input", { id: "service-address", type: "url", dir: "ltr", autocomplete: "off", spellcheck: "false", value: agent.root(), "aria-describedby": "service-address-hint" });
    const hint = el("span", { id: "service-address-hint", class: "muted", text: () => agent.t("address.hint", { example }) });
    const save = (event) => {
      event.preventDefault();
      const typed = input.value.trim();
      if (!URL.canParse(typed) || !/^https?:/i.test(typed)) {
        agent.keepLive(hint, () => { hint.textContent = agent.t("address.wrong", { example }); });
        hint.className = "field-error";
        input.setAttribute("aria-invalid", "true");
        input.focus();
        return;
      }
      const { origin, pathname } = new URL(typed);
      agent.store.set("root", origin + pathname);
      location.reload();
    };
    return el(
      "form", { id: "service-address-form", class: "address-form", novalidate: "", onsubmit: save },
      el("label", { for: "service-address", text: () => agent.t("address") }),
      input,
      agent.button("address.save", { type: "submit" }),
      hint,
    );
  };

  const header = agent.byId("site-header");
  header.classList.add("site-header");
  header.append(
    el("a", { class: "skip-link", href: "#main", text: () => agent.t("skip") }),
    el(
      "div", { class: "site-header-bar" },
      el("span", { class: "brand" }, el("span", { class: "brand-mark", "aria-hidden": "true" }), el("span", { class: "brand-name", text: () => agent.t("brand") })),
      el("nav", { class: "site-nav", label: () => agent.t("nav") }, link("chat"), link("metrics"), link("admin")),
      languageSwitch,
    ),
  );
  if (agent.isStandalone) {
    header.append(addressForm());
    for (const place of document.querySelectorAll(".secret-target")) {
      place.hidden = false;
      agent.keepLive(place, () => { place.textContent = agent.t("secret.target", { address: leftToRight(agent.root()) }); });
    }
  }
}
