// The history as a file: all sessions that a filter matches, with their messages.
//
//   admin.collect({query, signal, progress})   → sessions, each with its `messages`; progress(done, total)
//   admin.asJson(sessions, filter), admin.asCsv(sessions)   → the file's text
//   admin.save(name, type, text)
"use strict";

{
  const PAGE = 200; // the most the service gives at once
  const WALKS = 3;
  const AT_ONCE = 4;

  /** All pages of a list: read(offset) gives {items, total}. */
  async function walk(read, take) {
    for (let offset = 0, total = 1; offset < total; ) {
      const page = await read(offset);
      total = page.total;
      if (page.items.length === 0) break;
      take(page.items, total);
      offset += page.items.length;
    }
  }

  const get = async (path, signal) => (await admin.request("GET", path, { signal })).body;

  async function sessionsOf(query, signal) {
    const found = new Map();
    // Pages shift when a session is made (one is seen twice) or deleted (one is not seen): then again.
    for (let round = 0; round < WALKS; round += 1) {
      const totals = [];
      await walk(async (offset) => {
        const page = await get(`/admin/history/sessions?limit=${PAGE}&offset=${offset}${query}`, signal);
        return { items: page.sessions, total: page.total };
      }, (items, total) => {
        totals.push(total);
        for (const session of items) found.set(session.id, session);
      });
      if (totals.every((total) => total >= totals[0])) break;
    }
    return [...found.values()];
  }

  async function messagesOf(id, signal) {
    const messages = [];
    await walk(async (offset) => {
      const page = await get(`/admin/history/sessions/${encodeURIComponent(id)}/messages?limit=${PAGE}&offset=${offset}`, signal);
      return { items: page.messages, total: page.total };
    }, (items) => messages.push(...items));
    return messages;
  }

  admin.collect = async ({ query, signal, progress }) => {
    const sessions = await sessionsOf(query, signal);
    let [next, done] = [0, 0];
    progress(done, sessions.length);
    const worker = async () => {
      while (next < sessions.length) {
        const at = next;
        next += 1;
        try {
          sessions[at] = { ...sessions[at], messages: await messagesOf(sessions[at].id, signal) };
        } catch (failure) {
          if (failure.code !== "session_not_found") {
            next = sessions.length; // the others need not go on
            throw failure;
          }
          sessions[at] = null; // deleted since it was listed
        }
        done += 1;
        progress(done, sessions.length);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return sessions.filter(Boolean);
  };

  admin.asJson = (sessions, filter) => JSON.stringify({ exported_at: new Date().toISOString(), filter, sessions }, null, 2);

  // Where a cell of a spreadsheet may begin, and what would make it a formula. In many countries it is semicolons, not
  // commas, that part cells: there our quotation marks hold nothing together, and a line's end within them ends the line.
  // Spreadsheets pass over blanks and quotation marks before the sign.
  const FORMULA = /(^|[;\t\r\n])([[\s"']--[\t\r\n]]*)(?=[=+\-@＝＋－＠])/gv;

  // RFC 4180. What a spreadsheet would take for a formula is made text by an apostrophe.
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    const safe = text.replace(FORMULA, "$1'$2");
    return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  const SESSION = ["id", "created_at", "provider", "fallback_provider", "memory_limit", "metadata"];
  const MESSAGE = ["role", "content", "created_at", "stored_at"];

  admin.asCsv = (sessions) => {
    const lines = [[...SESSION.map((name) => `session_${name}`), ...MESSAGE.map((name) => `message_${name}`)]];
    for (const session of sessions) {
      // A session without messages has a line, too.
      for (const message of session.messages.length ? session.messages : [{}]) {
        lines.push([...SESSION.map((name) => session[name]), ...MESSAGE.map((name) => message[name])]);
      }
    }
    // Spreadsheets read UTF-8 only when a byte order mark says so.
    return `\ufeff${lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("")}`;
  };

  admin.save = (name, type, text) => {
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = agent.el("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  };
}
