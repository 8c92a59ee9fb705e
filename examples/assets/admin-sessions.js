// The active sessions: pages of them, and one with its messages.
"use strict";

agent.addTexts({
  en: {
    "sessions.title": "Active sessions", "sessions.empty": "No active sessions.",
    "sessions.delete": "Delete", "sessions.deleteOne": "Delete session {id}",
    "sessions.sure": "Delete this session for good?",
    "sessions.sureText": "Session {id}: its messages go from memory and from the history, too, and an answer that is being written ends. This cannot be undone.",
    "sessions.deleted": "Session {id} is deleted",
  },
  fa: {
    "sessions.title": "نشست‌های فعال", "sessions.empty": "نشست فعالی نیست.",
    "sessions.delete": "پاک کردن", "sessions.deleteOne": "پاک کردن نشست \u2066{id}\u2069",
    "sessions.sure": "این نشست برای همیشه پاک شود؟",
    "sessions.sureText": "نشست \u2066{id}\u2069: پیام‌هایش از حافظه و از تاریخچه هم می‌روند و پاسخی که در حال نوشتن است پایان می‌یابد. بازگشت ندارد.",
    "sessions.deleted": "نشست \u2066{id}\u2069 پاک شد",
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

  // With the operator's token any session can be removed, whoever's it is.
  async function remove(id) {
    notice.replaceChildren();
    try {
      await admin.request("DELETE", `/sessions/${encodeURIComponent(id)}`);
      agent.announce(t("sessions.deleted", { id }));
    } catch (failure) {
      if (failure.kind === "aborted") return;
      agent.showError(notice, failure, { retry: () => remove(id), dismiss: () => notice.replaceChildren() });
      if (failure.code !== "session_not_found") return;
    }
    if (opened?.id === id) admin.go("sessions");
    else if (!opened) showList();
    byId("panel-sessions").focus();
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
