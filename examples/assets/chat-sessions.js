// The conversations this browser knows: kept in it, so that they are there again after a reload. Of each it keeps what the
// service does not: its title, the draft, what was set for it. What was said is the service's to keep.
//
//   new SessionBook(onchange)    .all() newest first, .add(fields), .save(record), .remove(record)
//
// A record: {key (ours), id (the service's; null until the first message), title, createdAt, draft,
//   metadata, limit (as typed, for the new session), options: {json, role, limit, tool} (as typed, for messages),
//   inFlight: {content, before} while a message is being answered, tokens: {created_at: usage}}
"use strict";

class SessionBook {
  constructor(onchange) {
    // Each service has its own conversations.
    this.index = `chat.sessions@${agent.root()}`;
    this.records = new Map();
    this.load();
    // Another tab began or removed one.
    window.addEventListener("storage", (event) => {
      if (event.key?.endsWith(this.index)) {
        this.load();
        onchange();
      }
    });
  }

  load() {
    const keys = agent.store.get(this.index) ?? [];
    const records = keys.map((key) => this.records.get(key) ?? agent.store.get(`chat.session.${key}`));
    this.records = new Map(records.filter(Boolean).map((record) => [record.key, record]));
  }

  all() {
    return [...this.records.values()].sort((one, other) => other.createdAt - one.createdAt);
  }

  add(fields = {}) {
    const key = Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
    const record = { key, id: null, title: "", createdAt: Date.now(), draft: "", metadata: "", limit: "", options: {}, inFlight: null, tokens: {}, ...fields };
    this.records.set(key, record);
    this.save(record);
    // What other tabs have added meanwhile stays.
    agent.store.set(this.index, [...new Set([...(agent.store.get(this.index) ?? []), key])]);
    return record;
  }

  save(record) {
    if (this.records.has(record.key)) agent.store.set(`chat.session.${record.key}`, record);
  }

  remove(record) {
    this.records.delete(record.key);
    agent.store.set(this.index, (agent.store.get(this.index) ?? []).filter((key) => key !== record.key));
    agent.store.remove(`chat.session.${record.key}`);
  }
}

// The first words of a message.
function titleOf(message) {
  const line = message.trim().replace(/\s+/g, " ");
  return line.length <= 48 ? line : `${line.slice(0, 48).replace(/\s+\S*$/, "")}…`;
}

// ---- What people type, checked before it is sent: {value} (undefined when blank) or {problem}

// Within a Persian sentence, JSON keeps its order.
function leftToRight(text) {
  return `\u2066${text}\u2069`;
}

function readObject(text, example) {
  if (!text.trim()) return {};
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: agent.t("wrong.json", { reason: leftToRight(error.message), example: leftToRight(example) }) };
  }
  const kind = Array.isArray(value) ? "list" : value === null ? "null" : typeof value;
  return kind === "object" ? { value } : { problem: agent.t("wrong.object", { kind: agent.t(`kind.${kind}`), example: leftToRight(example) }) };
}

function readLimit(text) {
  if (!text.trim()) return {};
  const digits = text.trim().replace(/[۰-۹٠-٩]/g, (digit) => digit.charCodeAt(0) % 16);
  const value = Number(digits);
  const isRight = /^\d+$/.test(digits) && value >= 1 && Number.isSafeInteger(value);
  return isRight ? { value } : { problem: agent.t("wrong.limit", { text: text.trim() }) };
}
