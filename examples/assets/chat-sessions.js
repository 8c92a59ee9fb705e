// The conversations this browser knows: kept in it, so that they are there again after a reload. Of each it keeps what the
// service does not: its title, the draft, what was set for it. What was said is the service's to keep.
//
//   new SessionBook({onlist, onrecord})    .all() newest first, .add(fields), .save(record), .remove(record)
//
// onlist(): another tab began or removed one; onrecord(record, names): another tab has changed these fields of it.
//
// A record: {key (ours), id (the service's; null until the first message), title, createdAt, draft,
//   metadata, limit (as typed, for the new session), options: {json, role, limit, tool} (as typed, for messages),
//   inFlight: {content, before, tab} while a message is being answered, tokens: {created_at: usage}}
"use strict";

class SessionBook {
  // What is being typed is each tab's own.
  static typed = ["draft", "metadata", "limit", "options"];

  constructor({ onlist, onrecord }) {
    this.onrecord = onrecord;
    // Each service has its own conversations.
    this.index = `chat.sessions@${agent.root()}`;
    this.records = new Map();
    this.written = new Map(); // by key: each field as this tab last wrote or took it over, as JSON
    this.load();
    window.addEventListener("storage", (event) => {
      if (event.key?.endsWith(this.index)) {
        this.load();
        onlist();
      }
      const record = this.records.get(event.key?.split("chat.session.")[1]);
      if (record) this.tell(record, this.merge(record).names);
    });
  }

  load() {
    const keys = agent.store.get(this.index) ?? [];
    const records = keys.map((key) => this.records.get(key) ?? this.read(key));
    this.records = new Map(records.filter(Boolean).map((record) => [record.key, record]));
  }

  read(key) {
    const record = agent.store.get(`chat.session.${key}`);
    if (record) this.note(record);
    return record;
  }

  note(record) {
    this.written.set(record.key, new Map(Object.entries(record).map(([name, value]) => [name, JSON.stringify(value)])));
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

  // What this tab has not changed since it last wrote is as another tab may have left it meanwhile: that is taken over.
  // → {whole: the record to be written, names: the fields that were taken over}
  merge(record) {
    const stored = agent.store.get(`chat.session.${record.key}`) ?? {};
    const written = this.written.get(record.key) ?? new Map();
    const whole = { ...record };
    const names = [];
    for (const [name, value] of Object.entries(stored)) {
      const json = JSON.stringify(value);
      const isOurs = JSON.stringify(record[name]) !== written.get(name);
      if (isOurs || json === written.get(name)) continue;
      whole[name] = value;
      if (SessionBook.typed.includes(name)) continue;
      record[name] = value;
      written.set(name, json);
      names.push(name);
    }
    return { whole, names };
  }

  save(record) {
    if (!this.records.has(record.key)) return;
    const { whole, names } = this.merge(record);
    agent.store.set(`chat.session.${record.key}`, whole);
    this.note(record);
    this.tell(record, names);
  }

  tell(record, names) {
    if (names.length > 0) this.onrecord(record, names);
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
