// The archive: pages of its sessions between two dates, one with its messages, and all of them as a file.
"use strict";

agent.addTexts({
  en: {
    "history.title": "History", "history.from": "From", "history.to": "To", "history.size": "On a page", "history.apply": "Show", "history.clear": "All times",
    "history.order": "The end lies before the beginning.", "history.empty": "Nothing was archived in this time.", "history.emptyAll": "Nothing has been archived yet.",
    "history.none": "No history is kept.",
    "history.noneHelp": "The service archives conversations when its setting HISTORY_STORAGE_BACKEND is mysql, mongodb or redis. It is none now.",
    "history.json": "Export as JSON", "history.csv": "Export as CSV",
    "export.running": "Collecting the conversations", "export.progress": "{done} of {total} sessions", "export.cancel": "Cancel the export",
    "export.done": { one: "Exported: {count} session.", other: "Exported: {count} sessions." }, "export.cancelled": "The export was cancelled; nothing was saved.",
    "failure.invalid_date": "That is no date", "advice.invalid_date": "Correct the dates of the filter.",
  },
  fa: {
    "history.title": "تاریخچه", "history.from": "از", "history.to": "تا", "history.size": "در هر صفحه", "history.apply": "نشان بده", "history.clear": "همهٔ زمان‌ها",
    "history.order": "پایان پیش از آغاز است.", "history.empty": "در این زمان چیزی بایگانی نشده است.", "history.emptyAll": "هنوز چیزی بایگانی نشده است.",
    "history.none": "تاریخچه‌ای نگه داشته نمی‌شود.",
    "history.noneHelp": "سرویس هنگامی گفت‌وگوها را بایگانی می‌کند که تنظیم HISTORY_STORAGE_BACKEND آن mysql یا mongodb یا redis باشد. اکنون none است.",
    "history.json": "برون‌برد JSON", "history.csv": "برون‌برد CSV",
    "export.running": "در حال گردآوری گفت‌وگوها", "export.progress": "{done} از {total} نشست", "export.cancel": "لغو برون‌برد",
    "export.done": { one: "{count} نشست برون‌برده شد.", other: "{count} نشست برون‌برده شد." }, "export.cancelled": "برون‌برد لغو شد؛ چیزی ذخیره نشد.",
    "failure.invalid_date": "این تاریخ نیست", "advice.invalid_date": "تاریخ‌های فیلتر را درست کنید.",
  },
});

{
  const SIZES = [20, 50, 100, 200];
  const MESSAGES = 50;
  const { byId, el, t } = agent;
  const [from, to, size] = ["history-from", "history-to", "history-size"].map(byId);
  const body = byId("history-body");
  const exportHost = byId("history-export");
  const load = admin.loader(body);
  const updatePager = admin.pager(byId("history-pager"), (offset) => {
    if (opened) opened.offset = offset;
    else filter.offset = offset;
    show();
  });
  let filter = { from: "", to: "", offset: 0, limit: SIZES.includes(agent.store.get("history-size")) ? agent.store.get("history-size") : 50 };
  let opened = null; // {id, entry, offset}
  let exporting = null; // the AbortController of the export under way

  // ---- The filter: whole days by the reader's clock, as moments for the service

  const moment = (day, end) => {
    const [year, month, date] = day.split("-").map(Number);
    return (end ? new Date(year, month - 1, date, 23, 59, 59, 999) : new Date(year, month - 1, date)).toISOString();
  };
  const times = () => ({ from: filter.from ? moment(filter.from, false) : null, to: filter.to ? moment(filter.to, true) : null });
  const query = () => {
    const { from, to } = times();
    return `${from ? `&start_date=${encodeURIComponent(from)}` : ""}${to ? `&end_date=${encodeURIComponent(to)}` : ""}`;
  };

  // The browser's date field is Gregorian; in Persian the day is told by the Persian calendar besides.
  function showDays() {
    for (const field of [from, to]) {
      const isPersian = agent.language === "fa" && field.value;
      byId(`${field.id}-hint`).textContent = isPersian ? new Date(moment(field.value)).toLocaleDateString("fa-IR", { dateStyle: "long" }) : "";
    }
    byId("history-wrong").textContent = from.value && to.value && from.value > to.value ? t("history.order") : "";
  }
  from.addEventListener("input", showDays);
  to.addEventListener("input", showDays);

  function apply() {
    showDays();
    if (byId("history-wrong").textContent) return to.focus();
    filter = { from: from.value, to: to.value, limit: Number(size.value), offset: 0 };
    agent.store.set("history-size", filter.limit);
    if (opened) admin.go("history");
    else show();
  }
  byId("history-filter").addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  size.addEventListener("change", apply);
  byId("history-buttons").append(
    agent.button("history.apply", { id: "history-apply", type: "submit", class: "primary" }),
    agent.button("history.clear", { id: "history-clear", class: "quiet", onclick: () => {
      from.value = "";
      to.value = "";
      apply();
    } }));
  size.append(...SIZES.map((count) => el("option", { value: String(count), text: () => agent.number(count) })));
  size.value = String(filter.limit);
  document.addEventListener("languagechange", showDays);

  // ---- Export

  const jsonButton = agent.button("history.json", { id: "export-json", icon: "download", onclick: () => save("json") });
  const csvButton = agent.button("history.csv", { id: "export-csv", icon: "download", onclick: () => save("csv") });
  byId("history-tools").append(agent.button("refresh", { id: "history-refresh", icon: "refresh", onclick: () => show() }), jsonButton, csvButton);

  async function save(kind) {
    const mine = new AbortController();
    exporting = mine;
    const bar = el("progress", { label: () => t("export.running"), max: 1 });
    const words = el("span", { text: () => t("export.running") });
    const cancel = agent.button("export.cancel", { id: "export-cancel", onclick: () => mine.abort() });
    exportHost.replaceChildren(el("div", { class: "card row export", id: "export-progress" }, bar, words, cancel));
    jsonButton.disabled = true;
    csvButton.disabled = true;
    cancel.focus();
    const asked = { query: query(), times: times() };
    const tell = (key, vars) => exportHost.replaceChildren(el("p", { class: "note", id: "export-result", role: "status", text: () => t(key, vars) }));
    try {
      const sessions = await admin.collect({ query: asked.query, signal: mine.signal, progress: (done, total) => {
        bar.max = total;
        bar.value = done;
        words.textContent = t("export.progress", { done, total });
      } });
      const name = `chat-history-${new Date().toISOString().slice(0, 10)}.${kind}`;
      if (kind === "csv") admin.save(name, "text/csv;charset=utf-8", admin.asCsv(sessions));
      else admin.save(name, "application/json", admin.asJson(sessions, asked.times));
      tell("export.done", { count: sessions.length });
    } catch (failure) {
      if (!(failure instanceof agent.Failure)) throw failure;
      if (failure.kind === "aborted") tell("export.cancelled");
      else agent.showError(exportHost, failure, { retry: () => save(kind), dismiss: () => exportHost.replaceChildren() });
    } finally {
      exporting = null;
      jsonButton.disabled = false;
      csvButton.disabled = false;
      if (byId("panel-history").contains(document.activeElement) || document.activeElement === document.body) (kind === "csv" ? csvButton : jsonButton).focus();
    }
  }

  // ---- The list, and one of it

  function show() {
    byId("history-filter").hidden = Boolean(opened);
    return opened ? showOne() : showList();
  }

  function showList() {
    const { limit, offset } = filter;
    return load(async (signal) => {
      const [page, runtime] = await Promise.all([
        admin.request("GET", `/admin/history/sessions?limit=${limit}&offset=${offset}${query()}`, { signal }),
        admin.request("GET", "/admin/runtime", { signal }),
      ]);
      return { ...page.body, isKept: runtime.body.history.enabled };
    }, ({ sessions, total, isKept }) => {
      jsonButton.hidden = !isKept;
      csvButton.hidden = !isKept;
      byId("history-filter").hidden = !isKept;
      if (sessions.length === 0 && offset > 0 && total > 0) {
        filter.offset = Math.floor((total - 1) / limit) * limit;
        showList();
        return;
      }
      if (!isKept) body.replaceChildren(admin.empty("history.none", el("p", { text: () => t("history.noneHelp") })));
      else if (sessions.length === 0) body.replaceChildren(admin.empty(filter.from || filter.to ? "history.empty" : "history.emptyAll"));
      else body.replaceChildren(admin.sessionList("history", sessions));
      updatePager({ offset, limit, total });
    });
  }

  function showOne() {
    const { id, entry, offset } = opened;
    const path = `/admin/history/sessions/${encodeURIComponent(id)}/messages?limit=${MESSAGES}&offset=${offset}`;
    return load((signal) => admin.request("GET", path, { signal }), ({ body: { messages, total } }) => {
      body.replaceChildren(el("div", { class: "stack" },
        el("div", { class: "spread" }, admin.backButton("history")),
        admin.sessionFacts(id, entry),
        el("h3", { text: () => t("session.said") }),
        admin.messageList(messages)));
      updatePager({ offset, limit: MESSAGES, total });
    });
  }

  admin.panels.history = {
    show({ id, entry }) {
      if (opened?.id !== id) {
        body.replaceChildren();
        updatePager(null);
        opened = id ? { id, entry, offset: 0 } : null;
      }
      showDays();
      show();
    },
    leave() {
      load.stop();
      exporting?.abort();
    },
  };
}
