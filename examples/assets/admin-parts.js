// What several panels show.
//
//   admin.loader(host)(work, show)   runs work(signal), gives what comes of it to show; the newest call alone counts.
//                                    Waiting and failures are shown in the host. loader.stop() forgets what is under way
//   admin.pager(host, go)            → update({offset, limit, total}); go(offset) is called for another page
//   admin.sessionList(panel, sessions, actions), admin.sessionFacts(session), admin.messageList(messages)
//   admin.json(value), admin.facts([[key, value], …]), admin.empty(key)
"use strict";

agent.addTexts({
  en: {
    "page.previous": "Previous page", "page.next": "Next page", "page.range": "{from}–{to} of {total}", "page.label": "Turn the pages",
    "session.metadata": "Metadata", "session.noMetadata": "No metadata", "session.id": "Session", "session.created": "Made", "session.memory": "Remembers",
    "session.messages": { one: "{count} message", other: "{count} messages" }, "session.provider": "Answered by", "session.fallback": "Otherwise by",
    "session.unknown": "Open it from the list to see its metadata.", "session.back": "Back to the list", "session.said": "Messages", "session.none": "No messages.",
    "role.user": "User", "role.assistant": "Assistant", "role.system": "System", "message.details": "Details", "message.stored": "archived {time}",
    "value.none": "none", "yes": "yes", "no": "no",
  },
  fa: {
    "page.previous": "صفحهٔ پیش", "page.next": "صفحهٔ بعد", "page.range": "{from} تا {to} از {total}", "page.label": "ورق زدن",
    "session.metadata": "فراداده", "session.noMetadata": "بی‌فراداده", "session.id": "نشست", "session.created": "ساخته‌شده", "session.memory": "به یاد دارد",
    "session.messages": { one: "{count} پیام", other: "{count} پیام" }, "session.provider": "پاسخ‌دهنده", "session.fallback": "وگرنه",
    "session.unknown": "برای دیدن فراداده، آن را از فهرست باز کنید.", "session.back": "بازگشت به فهرست", "session.said": "پیام‌ها", "session.none": "پیامی نیست.",
    "role.user": "کاربر", "role.assistant": "دستیار", "role.system": "سامانه", "message.details": "جزئیات", "message.stored": "بایگانی‌شده {time}",
    "value.none": "هیچ", "yes": "بله", "no": "خیر",
  },
});

{
  const { el, t } = agent;

  admin.loader = (host) => {
    let running = null;
    const load = async (work, show) => {
      running?.abort();
      const mine = new AbortController();
      running = mine;
      host.setAttribute("aria-busy", "true");
      if (!host.hasChildNodes()) host.append(el("p", { class: "empty", role: "status" }, el("span", { class: "spinner" }), el("span", { text: () => t("loading") })));
      try {
        const result = await work(mine.signal);
        if (running !== mine) return;
        const hadFocus = host.contains(document.activeElement);
        show(result);
        if (hadFocus && document.activeElement === document.body) host.closest(".panel").focus({ preventScroll: true });
      } catch (failure) {
        if (!(failure instanceof agent.Failure)) throw failure;
        if (running === mine && failure.kind !== "aborted") agent.showError(host, failure, { retry: () => load(work, show) });
      } finally {
        if (running === mine) host.removeAttribute("aria-busy");
      }
    };
    load.stop = () => {
      running?.abort();
      running = null;
      host.removeAttribute("aria-busy");
    };
    return load;
  };

  admin.pager = (host, go) => {
    let now = { offset: 0, limit: 1, total: 0 };
    const button = (key, step) => agent.button(key, { icon: "chevron", class: "icon-only", data: { testid: key }, onclick: () => go(Math.max(0, now.offset + step * now.limit)) });
    const [previous, next] = [button("page.previous", -1), button("page.next", 1)];
    previous.classList.add("pager-previous");
    const vars = () => ({ from: Math.min(now.offset + 1, now.total), to: Math.min(now.offset + now.limit, now.total), total: now.total });
    const range = el("span", { class: "muted", role: "status", data: { testid: "page-range" } });
    const words = () => { range.textContent = t("page.range", vars()); };
    agent.keepLive(range, words);
    const pager = el("nav", { class: "row pager", label: () => t("page.label"), hidden: true }, previous, range, next);
    host.append(pager);
    return (update) => {
      now = update ?? { ...now, total: 0 };
      pager.hidden = now.total === 0;
      const focused = document.activeElement;
      previous.disabled = now.offset === 0;
      next.disabled = now.offset + now.limit >= now.total;
      if (focused === next && next.disabled) previous.focus();
      if (focused === previous && previous.disabled) next.focus();
      words();
    };
  };

  admin.empty = (key, ...more) => el("div", { class: "empty card" }, el("p", { text: () => t(key) }), ...more);

  // Whatever a client wrote is shown as text.
  admin.json = (value) => el("pre", { class: "json", dir: "ltr", text: JSON.stringify(value, null, 2) });

  admin.facts = (facts) => el("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== undefined).map(([key, value]) =>
    el("div", {}, el("dt", { text: () => t(key) }), value instanceof Node ? el("dd", {}, value) : el("dd", {}, el("bdi", { text: value ?? (() => t("value.none")) })))));

  const isBlank = (metadata) => !metadata || Object.keys(metadata).length === 0;

  admin.sessionList = (panel, sessions, actions = () => []) => el("ul", { class: "session-list" }, ...sessions.map((session) => {
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      admin.go(panel, session);
    };
    const link = el("a", { class: "session-open", href: `#${panel}/${session.id}`, onclick: open, data: { testid: "session-open", id: session.id } },
      el("span", { class: "session-time", text: () => agent.date(session.created_at) }),
      el("code", { class: "session-id", dir: "ltr", text: session.id }),
      isBlank(session.metadata) ? el("span", { class: "session-metadata muted", text: () => t("session.noMetadata") })
        : el("span", { class: "session-metadata", dir: "ltr", text: JSON.stringify(session.metadata) }));
    return el("li", { class: "session-row" }, link, ...actions(session));
  }));

  admin.sessionFacts = (id, session) => {
    const idLine = el("span", { class: "row id-line" }, el("code", { dir: "ltr", text: id, data: { testid: "session-id" } }), agent.copyButton(() => id));
    if (!session) return el("div", { class: "card stack" }, admin.facts([["session.id", idLine]]), el("p", { class: "muted", text: () => t("session.unknown") }));
    return el("div", { class: "card stack" },
      admin.facts([
        ["session.id", idLine],
        ["session.created", el("span", { text: () => agent.date(session.created_at) })],
        ["session.memory", el("span", { text: () => t("session.messages", { count: session.memory_limit }) })],
        ["session.provider", session.provider],
        ["session.fallback", session.fallback_provider ?? undefined],
      ]),
      el("h3", { class: "label", text: () => t("session.metadata") }),
      isBlank(session.metadata) ? el("p", { class: "muted", text: () => t("session.noMetadata") }) : admin.json(session.metadata));
  };

  admin.messageList = (messages) => (messages.length === 0 ? admin.empty("session.none") : el("ol", { class: "messages" }, ...messages.map((message) => {
    const { role, content, created_at: created, stored_at: stored, metadata } = message;
    return el("li", { class: `message message-${role}`, data: { testid: "message" } },
      el("p", { class: "message-head" },
        el("b", { text: () => (t(`role.${role}`) === `role.${role}` ? role : t(`role.${role}`)) }),
        el("span", { class: "muted", text: () => agent.date(created) }),
        stored && el("span", { class: "muted", text: () => t("message.stored", { time: agent.date(stored) }) })),
      el("p", { class: "message-text", dir: "auto", text: content }),
      !isBlank(metadata) && el("details", {}, el("summary", { text: () => t("message.details") }), admin.json(metadata)));
  })));

  admin.backButton = (panel) => agent.button("session.back", { icon: "chevron", class: "quiet back", data: { testid: "back" }, onclick: () => admin.go(panel) });
}
