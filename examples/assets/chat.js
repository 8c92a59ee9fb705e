// The chat page: the list of conversations, which of them are open (two beside each other where there is room), the key,
// and what happens while the service is away.
"use strict";

{
  const { el, t, byId } = agent;
  const list = byId("session-list");
  const columns = byId("columns");
  const sidebar = byId("sidebar");
  const isWide = window.matchMedia("(min-width: 75rem)");
  const isPhone = window.matchMedia("(max-width: 48rem)");

  const conversations = new Map(); // by their records' keys, as soon as they have been open
  const items = new Map(); // of the list, by the same keys
  let open = []; // keys: the one in use first, and perhaps one beside it
  let isDrawing = false;
  const book = new SessionBook({
    onlist: () => draw(),
    onrecord: (record, names) => (conversations.get(record.key) ? conversations.get(record.key).takeOver(names) : draw()),
  });

  // ---- What a conversation needs from around it

  const page = {
    save: (record) => book.save(record),
    changed: () => draw(),
    isVisible: (conversation) => !conversation.element.hidden && conversation.element.isConnected && !document.hidden,
    headers: () => {
      const key = agent.secret.get("api-key");
      return key ? { "X-API-Key": key } : {};
    },
    away: () => away(),
    askForKey: (failure, then) => askForKey(failure, then),
    remove: (record) => forget(record),
    renew: (record, content) => {
      const metadata = Object.keys(record.about ?? {}).length ? JSON.stringify(record.about) : "";
      const limit = record.memoryLimit ? String(record.memoryLimit) : "";
      const fresh = book.add({ metadata, limit, options: record.options });
      forget(record);
      show(fresh.key);
      conversations.get(fresh.key).submit(content);
    },
  };

  // ---- Opening and closing

  const conversationOf = (key) => {
    if (!conversations.has(key)) {
      const conversation = new Conversation(book.records.get(key), page);
      conversation.head.prepend(sidebarButton());
      conversation.head.append(closeButton(key), deleteButton(() => conversation.record));
      conversation.element.addEventListener("focusin", () => use(key));
      conversations.set(key, conversation);
      columns.append(conversation.element);
    }
    return conversations.get(key);
  };

  const sidebarButton = () => agent.button("sessions.open", { icon: "menu", class: "quiet icon-only sidebar-open", onclick: () => openSidebar(true), data: { testid: "sidebar-open" } });

  const closeButton = (key) =>
    agent.button("column.close", { icon: "close", class: "quiet icon-only column-close", onclick: () => arrange(open.filter((other) => other !== key)), data: { testid: "column-close" } });

  const deleteButton = (record) => agent.button("delete", { icon: "trash", class: "quiet icon-only", onclick: () => remove(record()), data: { testid: "delete-session" } });

  const arrange = (keys) => {
    open = keys.filter((key) => book.records.has(key)).slice(0, 2);
    if (open.length === 0) open = [(book.all()[0] ?? book.add()).key];
    agent.store.tab.set("chat.open", open);
    const visible = isWide.matches ? open : open.slice(0, 1);
    for (const key of visible) conversationOf(key);
    for (const [key, conversation] of conversations) conversation.element.hidden = !visible.includes(key);
    columns.classList.toggle("two", visible.length === 2);
    for (const key of visible) conversations.get(key).show();
    draw();
  };

  // The one that is typed in is the one that the list replaces.
  const use = (key) => {
    if (open[0] === key || !open.includes(key)) return;
    open.reverse();
    agent.store.tab.set("chat.open", open);
    draw();
  };

  const show = (key) => {
    arrange(open.includes(key) ? [key, ...open.filter((other) => other !== key)] : [key, ...open.slice(1)]);
    openSidebar(false);
    conversations.get(key).input.focus({ preventScroll: true });
  };

  const showBeside = (key) => {
    arrange([...open.slice(0, 1).filter((other) => other !== key), key]);
    conversations.get(key).input.focus({ preventScroll: true });
  };

  // One without a word in it is as good as a new one.
  const begin = () => {
    const blank = book.all().find((record) => !record.id && !record.title && !record.draft);
    show((blank ?? book.add()).key);
  };

  const openSidebar = (isOpen) => {
    document.body.classList.toggle("sidebar-shown", isOpen);
    sidebar.inert = isPhone.matches && !isOpen;
    columns.inert = isPhone.matches && isOpen;
    if (isOpen && isPhone.matches) byId("sidebar-close").focus();
  };

  // ---- Deleting

  const forget = (record) => {
    conversations.get(record.key)?.dispose();
    conversations.delete(record.key);
    items.get(record.key)?.element.remove();
    items.delete(record.key);
    book.remove(record);
    arrange(open.filter((key) => key !== record.key));
  };

  const remove = async (record) => {
    const title = record.title || t("untitled");
    const isWorthAsking = record.id || record.draft || record.title;
    if (isWorthAsking && !(await agent.confirm({ title: t("delete.title"), text: t("delete.text", { title }), confirm: t("delete"), danger: true }))) return;
    const errors = byId("page-error");
    errors.replaceChildren();
    try {
      if (record.id) await agent.request("DELETE", `sessions/${record.id}`, { headers: page.headers() });
    } catch (error) {
      const failure = agent.Failure.ofException(error);
      if (failure.code !== "session_not_found") {
        if (failure.kind === "network") away();
        if (isKeyFailure(failure)) askForKey(failure);
        agent.showError(errors, failure, { dismiss: () => errors.replaceChildren() });
        return;
      }
    }
    forget(record);
    agent.announce(t("deleted"));
    conversations.get(open[0])?.input.focus({ preventScroll: true });
  };

  // ---- The list

  const item = (record) => {
    const name = el("span", { class: "session-title", dir: "auto" });
    const sign = el("span", { class: "session-sign" });
    const button = el("button", { type: "button", class: "session-button", onclick: () => show(record.key), data: { testid: "session" } }, sign, name);
    const act = (key, icon, action) => agent.button(key, { icon, class: `quiet icon-only session-${key}`, onclick: action, data: { testid: `session-${key}` } });
    const beside = act("beside", "columns", () => showBeside(record.key));
    const drop = act("delete", "trash", () => remove(record));
    const element = el("li", { data: { key: record.key } }, button, el("span", { class: "session-controls" }, beside, drop));
    const rename = (title) => {
      name.textContent = title;
      // Among many of its kind a button has to say which one it is about.
      beside.setAttribute("aria-label", t("beside.named", { title }));
      drop.setAttribute("aria-label", t("delete.named", { title }));
    };
    return { element, button, sign, rename, state: null };
  };

  const sign = (state) => {
    if (state === "answering") return el("span", { class: "spinner" });
    if (state === "unread") return el("span", { class: "dot" });
    return state === "gone" ? el("span", { class: "badge warn", text: () => t("gone") }) : null;
  };

  // Redrawn in place: what is focused stays so.
  const draw = () => {
    if (isDrawing) return;
    isDrawing = true;
    queueMicrotask(() => {
      isDrawing = false;
      const records = book.all();
      for (const [key, { element }] of items) {
        if (book.records.has(key)) continue;
        element.remove();
        items.delete(key);
      }
      records.forEach((record, position) => {
        if (!items.has(record.key)) items.set(record.key, item(record));
        const drawn = items.get(record.key);
        if (list.children[position] !== drawn.element) list.insertBefore(drawn.element, list.children[position] ?? null);
        const conversation = conversations.get(record.key);
        const state = conversation?.turn ? "answering" : record.isGone ? "gone" : conversation?.hasNews ? "unread" : "";
        drawn.rename(record.title || t("untitled"));
        drawn.button.setAttribute("aria-current", String(record.key === open[0]));
        drawn.element.classList.toggle("is-open", isWide.matches && open.includes(record.key));
        if (drawn.state === state) return;
        drawn.state = state;
        drawn.button.dataset.state = state;
        const hidden = ["answering", "unread"].includes(state) && el("span", { class: "visually-hidden", text: () => t(state) });
        drawn.sign.replaceChildren(...[sign(state), hidden].filter(Boolean));
      });
      byId("key-button").classList.toggle("is-set", Boolean(agent.secret.get("api-key")));
    });
  };

  // ---- The key

  const keyDialog = byId("key-dialog");
  let afterKey = null;
  const askForKey = (failure, then) => {
    afterKey = then ?? null;
    byId("key-problem").textContent = failure ? agent.describe(failure).title : "";
    byId("key-input").value = agent.secret.get("api-key") ?? "";
    if (!keyDialog.open) keyDialog.showModal();
    byId("key-input").select();
  };
  const endKeyDialog = (key) => {
    if (key) agent.secret.set("api-key", key);
    else agent.secret.remove("api-key");
    keyDialog.close();
    draw();
    for (const conversation of conversations.values()) conversation.recover();
    const then = afterKey;
    afterKey = null;
    if (key) then?.();
  };
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    endKeyDialog(byId("key-input").value.trim());
  });
  byId("key-forget").addEventListener("click", () => endKeyDialog(""));
  byId("key-cancel").addEventListener("click", () => keyDialog.close());

  // ---- The service away

  const banner = byId("away-banner");
  const pauses = [2_000, 3_000, 5_000, 8_000, 12_000];
  let asked = 0;
  let nextAsk = null;
  const away = () => {
    if (!banner.hidden) return;
    banner.hidden = false;
    asked = 0;
    askLater();
  };
  const askLater = () => {
    clearTimeout(nextAsk);
    nextAsk = setTimeout(ask, pauses[Math.min(asked, pauses.length - 1)]);
    asked += 1;
  };
  const ask = async () => {
    clearTimeout(nextAsk);
    // Whatever it answers, it is there.
    const isThere = await agent.request("GET", "", { timeout: 5_000 }).then(() => true, ({ kind }) => kind === "http");
    if (!isThere) {
      banner.hidden = false;
      askLater();
    } else if (!banner.hidden) {
      banner.hidden = true;
      agent.announce(t("back"));
      for (const conversation of conversations.values()) conversation.recover();
    }
  };
  byId("away-retry").addEventListener("click", ask);
  window.addEventListener("online", () => { if (!banner.hidden) ask(); });

  // ---- The start

  byId("new-session").addEventListener("click", begin);
  byId("sidebar-close").addEventListener("click", () => {
    openSidebar(false);
    columns.querySelector(".conversation:not([hidden]) .sidebar-open")?.focus();
  });
  byId("sidebar-veil").addEventListener("click", () => openSidebar(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("sidebar-shown")) byId("sidebar-close").click();
  });
  isWide.addEventListener("change", () => arrange(open));
  isPhone.addEventListener("change", () => openSidebar(false));
  document.addEventListener("languagechange", draw);
  document.addEventListener("visibilitychange", () => {
    for (const conversation of conversations.values()) {
      if (page.isVisible(conversation)) conversation.hasNews = false;
      conversation.recover();
    }
    draw();
  });

  openSidebar(false);
  arrange(agent.store.tab.get("chat.open") ?? []);
  ask();
}
