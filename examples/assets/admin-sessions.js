// The active sessions: pages of them, and one with its messages.
"use strict";

agent.addTexts({
  en: {
    "sessions.title": "Active sessions", "sessions.empty": "No active sessions.",
    "sessions.delete": "Delete", "sessions.deleteOne": "Delete session {id}",
    "sessions.sure": "Delete this session for good?",
    "sessions.sureText": "Session {id}: its messages go from memory and from the history, too, and an answer that is being written ends. This cannot be undone.",
    "sessions.deleted": "Session {id} is deleted",
    "sessions.key": "This service asks for a key to delete. Enter the key that this session was made with.",
    "sessions.keyLabel": "Client key", "sessions.keyWrong": "With this key there is no such session: it belongs to another one, or is gone.",
  },
  fa: {
    "sessions.title": "نشست‌های فعال", "sessions.empty": "نشست فعالی نیست.",
    "sessions.delete": "پاک کردن", "sessions.deleteOne": "پاک کردن نشست \u2066{id}\u2069",
    "sessions.sure": "این نشست برای همیشه پاک شود؟",
    "sessions.sureText": "نشست \u2066{id}\u2069: پیام‌هایش از حافظه و از تاریخچه هم می‌روند و پاسخی که در حال نوشتن است پایان می‌یابد. بازگشت ندارد.",
    "sessions.deleted": "نشست \u2066{id}\u2069 پاک شد",
    "sessions.key": "این سرویس برای پاک کردن کلید می‌خواهد. کلیدی را که این نشست با آن ساخته شده وارد کنید.",
    "sessions.keyLabel": "کلید مشتری", "sessions.keyWrong": "با این کلید چنین نشستی نیست: از آن کلید دیگری است یا دیگر نیست.",
  },
});

{
  const PAGE = 50;
  const { byId, el, t } = agent;
  const body = byId("sessions-body");
  const notice = byId("sessions-notice");
  const load = admin.loader(body);
  const updatePager = admin.pager(byId("sessions-pager"), (to) => {
    offset = to;
    showList();
  });
  let offset = 0;
  let opened = null; // {id, entry}

  byId("sessions-tools").append(agent.button("refresh", { id: "sessions-refresh", icon: "refresh", onclick: () => (opened ? showOne() : showList()) }));

  function showList() {
    return load((signal) => admin.request("GET", `/admin/sessions?limit=${PAGE}&offset=${offset}`, { signal }), ({ body: sessions, headers }) => {
      const total = Number(headers.get("X-Total-Count") ?? offset + sessions.length);
      // The last of this page is gone.
      if (sessions.length === 0 && offset > 0 && total > 0) {
        offset = Math.floor((total - 1) / PAGE) * PAGE;
        showList();
        return;
      }
      body.replaceChildren(sessions.length === 0 ? admin.empty("sessions.empty") : admin.sessionList("sessions", sessions, (session) => [deleteButton(session.id, "icon-only quiet")]));
      updatePager({ offset, limit: PAGE, total });
    });
  }

  function showOne() {
    const { id, entry } = opened;
    updatePager(null);
    return load((signal) => admin.request("GET", `/admin/sessions/${encodeURIComponent(id)}/messages`, { signal }), (answer) => {
      body.replaceChildren(el("div", { class: "stack" },
        el("div", { class: "spread" }, admin.backButton("sessions"), deleteButton(id, "")),
        admin.sessionFacts(id, entry),
        el("h3", { text: () => t("session.said") }),
        admin.messageList(answer.body)));
    });
  }

  const deleteButton = (id, classes) => agent.button("sessions.delete", { icon: "trash", class: classes, label: () => t("sessions.deleteOne", { id }), data: { testid: "session-delete" }, onclick: () => ask(id) });

  async function ask(id) {
    const isSure = await agent.confirm({ title: t("sessions.sure"), text: t("sessions.sureText", { id }), confirm: t("sessions.delete"), danger: true });
    if (isSure) remove(id);
  }

  async function remove(id, key) {
    notice.replaceChildren();
    try {
      await agent.request("DELETE", `/sessions/${encodeURIComponent(id)}`, { headers: key ? { "X-API-Key": key } : {} });
      agent.announce(t("sessions.deleted", { id }));
    } catch (failure) {
      if (["missing_api_key", "invalid_api_key"].includes(failure.code)) return askForKey(id, key && "failure.invalid_api_key");
      if (failure.code === "session_not_found" && key) return askForKey(id, "sessions.keyWrong");
      agent.showError(notice, failure, { retry: () => remove(id, key), dismiss: () => notice.replaceChildren() });
      if (failure.code !== "session_not_found") return;
    }
    if (opened?.id === id) admin.go("sessions");
    else if (!opened) showList();
    byId("panel-sessions").focus();
  }

  // Sessions belong to the key that made them; the administration token opens none.
  function askForKey(id, wrong) {
    const input = el("input", { id: "session-key", type: "password", dir: "ltr", autocomplete: "off", "aria-describedby": "session-key-hint" });
    const send = (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (/^[\x20-\x7e]+$/.test(key)) remove(id, key);
      else input.focus();
    };
    notice.replaceChildren(el("form", { class: "card stack", onsubmit: send, novalidate: "" },
      el("p", { id: "session-key-hint", text: () => t("sessions.key") }),
      el("div", { class: "field" }, el("label", { for: "session-key", text: () => t("sessions.keyLabel") }), input,
        wrong && el("p", { class: "field-error", role: "alert", text: () => t(wrong) })),
      el("div", { class: "row" },
        agent.button("sessions.delete", { type: "submit", class: "danger" }),
        agent.button("cancel", { class: "quiet", onclick: () => notice.replaceChildren() }))));
    input.focus();
  }

  admin.panels.sessions = {
    show({ id, entry }) {
      const isOther = opened?.id !== id;
      opened = id ? { id, entry } : null;
      if (isOther) body.replaceChildren();
      if (opened) notice.replaceChildren();
      if (opened) showOne();
      else showList();
    },
    leave() {
      load.stop();
      notice.replaceChildren();
    },
  };
}
