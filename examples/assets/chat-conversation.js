// One conversation: its messages, the answer that is coming, and the composer. It goes on while another one is shown.
//
//   new Conversation(record, page)    .element, .show() (fetches what was said, once), .recover() (after the service was
//                                     away), .submit(content), .dispose()
//
// `page` is what it needs from around it: save(record), changed() (the list is drawn anew), isVisible(conversation),
// headers() (with the key), away(), askForKey(then), remove(record), renew(record, content)
"use strict";

class Conversation {
  constructor(record, page) {
    Object.assign(this, { record, page });
    this.turn = null; // {controller, content, element}: the message being answered
    this.remembered = []; // elements of the messages that the model remembers
    this.newest = null; // when the newest of them was said
    this.loaded = !record.id;
    this.isGone = false;
    this.hasNews = false;
    this.atBottom = true;
    this.build();
    if (this.loaded) this.restoreInFlight();
    this.refresh();
  }

  get title() {
    return this.record.title || agent.t("untitled");
  }

  save() {
    this.page.save(this.record);
  }

  // ---- Its parts

  build() {
    const { el, t } = agent;
    const { record } = this;
    const titleId = `title-${record.key}`;
    this.heading = el("h2", { id: titleId, dir: "auto", class: "conversation-title", text: () => this.title });
    this.about = el("div", { class: "row about" });
    this.head = el("header", { class: "conversation-head" }, el("div", { class: "conversation-name" }, this.heading, this.about));

    this.empty = this.buildEmpty();
    this.messages = el("div", { class: "messages" });
    this.state = el("div", { class: "conversation-state" });
    this.log = el(
      "div", { class: "log", role: "log", tabindex: "0", label: () => t("log", { title: this.title }), data: { testid: "log" } },
      el("div", { class: "log-inner" }, this.empty, this.messages, this.state),
    );
    this.log.addEventListener("scroll", () => {
      this.atBottom = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
      this.latest.hidden = this.atBottom;
    });
    this.latest = agent.button("latest", { icon: "down", class: "icon-only latest", hidden: true, onclick: () => this.toBottom(true) });
    const page = { save: () => this.save(), submit: (content) => this.submit(content), stop: () => this.stop() };
    this.composer = new Composer(record, page);
    this.input = this.composer.input;
    this.element = el(
      "section", { class: "conversation", "aria-labelledby": titleId, data: { testid: "conversation", key: record.key } },
      this.head, el("div", { class: "log-frame" }, this.log, this.latest), this.composer.element,
    );
  }

  buildEmpty() {
    const suggestion = (key) => agent.button(key, { onclick: () => this.submit(agent.t(key)), data: { testid: key } });
    return agent.el(
      "div", { class: "empty", data: { testid: "empty" } },
      agent.el("span", { class: "brand-mark large", "aria-hidden": "true" }),
      agent.el("p", { class: "empty-title", text: () => agent.t("empty.title") }),
      agent.el("p", { text: () => agent.t("empty.text") }),
      agent.el("div", { class: "row suggestions" }, suggestion("suggest.1"), suggestion("suggest.2")),
    );
  }

  // Brings what is shown in line with what is so.
  refresh() {
    const { record, turn } = this;
    this.heading.textContent = this.title;
    this.composer.refresh(Boolean(turn));
    this.composer.element.hidden = this.isGone;
    this.empty.hidden = Boolean(record.id) || this.messages.childElementCount > 0;
    this.about.replaceChildren(...(record.id ? this.aboutParts() : []));
    this.page.changed();
  }

  aboutParts() {
    const { record } = this;
    const { el, t } = agent;
    const metadata = record.about ?? {};
    const close = ({ key, currentTarget }) => {
      if (key === "Escape") currentTarget.open = false;
    };
    return [
      Number.isFinite(record.memoryLimit) && el("span", { class: "muted", data: { testid: "memory-limit" }, text: () => t("about.memory", { count: record.memoryLimit }) }),
      Object.keys(metadata).length > 0 && el("details", { class: "about-metadata", onkeydown: close }, el("summary", { class: "muted", text: () => t("about.metadata") }), el("pre", { dir: "ltr", text: JSON.stringify(metadata, null, 2) })),
      agent.copyButton(() => record.id, "about.id"),
    ].filter(Boolean);
  }

  toBottom(isForced) {
    if (isForced || this.atBottom) this.log.scrollTop = this.log.scrollHeight;
  }

  // ---- What was said

  async show() {
    this.hasNews = false;
    this.composer.fit();
    this.toBottom();
    if (!this.loaded && !this.loading) await this.load();
  }

  async fetch() {
    const { body } = await agent.request("GET", `sessions/${this.record.id}`, { headers: this.page.headers() });
    return body;
  }

  async load() {
    this.loading = true;
    this.log.setAttribute("aria-busy", "true");
    this.state.replaceChildren(agent.el("p", { class: "thinking" }, agent.el("span", { class: "spinner" }), agent.el("span", { text: () => agent.t("history.loading") })));
    try {
      const session = await this.fetch();
      this.state.replaceChildren();
      this.loaded = true;
      this.record.isGone = false;
      this.keep(session);
      this.showHistory(session.history);
      this.restoreInFlight(session.history);
    } catch (error) {
      const failure = agent.Failure.ofException(error);
      const retry = () => this.load();
      if (failure.code === "session_not_found") this.showGone();
      else agent.showError(this.state, failure, { retry });
      if (failure.kind === "network") this.page.away();
      if (isKeyFailure(failure)) this.page.askForKey(failure, retry);
    } finally {
      this.loading = false;
      this.log.setAttribute("aria-busy", "false");
      this.refresh();
    }
  }

  recover() {
    if (!this.loaded && !this.loading && this.page.isVisible(this)) this.load();
  }

  keep({ id, memory_limit: limit, metadata }) {
    Object.assign(this.record, { id, memoryLimit: limit, about: metadata });
    this.save();
  }

  showHistory(history) {
    const usage = this.record.tokens;
    const answer = (message) => AnswerView.of(message, usage[message.created_at], () => this.toBottom()).element;
    const element = (message) => (message.role === "user" ? userMessage(message) : answer(message));
    this.remembered = history.map(element);
    this.messages.replaceChildren(...this.remembered);
    this.newest = history.at(-1)?.created_at ?? null;
    // What is forgotten needs no count any more.
    this.record.tokens = Object.fromEntries(history.filter(({ created_at: at }) => usage[at]).map(({ created_at: at }) => [at, usage[at]]));
    this.save();
    this.toBottom(true);
  }

  // A message whose answer nobody waited for: was it stored after all?
  isStored({ content, before }, history) {
    const since = before ? Date.parse(before) : -Infinity;
    return history.some((message) => message.content === content && Date.parse(message.created_at) > since);
  }

  restoreInFlight(history = []) {
    const { inFlight } = this.record;
    if (!inFlight) return;
    if (this.isStored(inFlight, history)) {
      this.record.inFlight = null;
      this.save();
      return;
    }
    this.composer.putBack(inFlight.content);
    this.note("reloaded");
  }

  note(key) {
    this.state.replaceChildren(agent.el("p", { class: "note", role: "status", data: { testid: "note" }, text: () => agent.t(key) }));
    this.toBottom();
  }

  // The model sees the last ones only.
  markMemory(count) {
    this.remembered = this.remembered.slice(-count);
    this.messages.querySelector(".beyond")?.remove();
    const first = this.remembered[0];
    if (first?.previousElementSibling) first.before(agent.el("p", { class: "beyond", data: { testid: "beyond-memory" }, text: () => agent.t("beyond") }));
  }

  // ---- A turn

  async submit(content) {
    if (this.turn || this.isGone || !this.loaded || !content.trim()) return;
    const { record } = this;
    const wanted = this.composer.read();
    if (!wanted) return;

    for (const turn of this.messages.querySelectorAll(".turn.stopped")) turn.remove();
    this.state.replaceChildren();
    const inFlight = { content, before: this.newest };
    record.inFlight = inFlight;
    record.title ||= titleOf(content);
    if (record.draft === content) this.composer.setDraft("");
    const said = userMessage({ content, role: wanted.options.role, created_at: new Date().toISOString() });
    const view = new AnswerView(() => this.toBottom());
    const outcome = agent.el("div", { class: "turn-outcome" });
    const element = agent.el("div", { class: "turn", data: { testid: "turn" } }, said, view.element, outcome);
    this.turn = { controller: new AbortController(), content, inFlight, said, view, outcome, element };
    this.messages.append(element);
    this.refresh();
    this.toBottom(true);

    const { turn } = this;
    let failure = null;
    try {
      if (!record.id) await this.begin(wanted.settings, turn.controller.signal);
      this.complete(turn, await this.answer(turn, { content, ...wanted.options }));
    } catch (error) {
      failure = agent.Failure.ofException(error, turn.controller.signal);
    }
    this.turn = null;
    if (failure) await this.fail(turn, failure);
    this.save();
    this.refresh();
    this.toBottom();
  }

  async begin(settings, signal) {
    const { body } = await agent.request("POST", "sessions", { body: settings, headers: this.page.headers(), signal });
    this.keep(body);
    this.refresh();
  }

  // Follows the answer to its end → the service's whole answer.
  async answer(turn, body) {
    const { signal } = turn.controller;
    const headers = { ...this.page.headers(), Accept: "text/event-stream" };
    const response = await agent.open("POST", `sessions/${this.record.id}/messages`, { body, headers, signal });
    let requestId = response.headers.get("X-Request-ID");
    try {
      for await (const events of readEvents(response)) {
        for (const { event, data } of events) {
          if (event === "message.started") requestId = data.request_id;
          else if (event === "message.delta") turn.view.delta(data.content);
          else if (event === "tool.started") turn.view.toolStarted(data);
          else if (event === "tool.finished") turn.view.toolFinished(data);
          else if (event === "message.completed") return data;
          else if (event === "error") throw agent.Failure.ofBody(data);
        }
      }
    } catch (error) {
      if (error instanceof agent.Failure || signal.aborted) throw error;
    }
    throw new agent.Failure({ kind: "network", code: "interrupted", requestId });
  }

  complete(turn, { message, usage, history }) {
    turn.view.complete(message, usage);
    this.record.inFlight = null;
    if (usage) this.record.tokens[message.created_at] = usage;
    this.newest = message.created_at;
    // Out of the frame of the turn, among the others.
    turn.element.replaceWith(turn.said, turn.view.element);
    this.remembered.push(turn.said, turn.view.element);
    this.markMemory(history.length);
    if (!this.page.isVisible(this)) this.hasNews = true;
    else agent.announce(agent.t("answered"));
  }

  stop() {
    this.turn?.controller.abort();
    this.input.focus();
  }

  async fail(turn, failure) {
    turn.view.breakOff();
    turn.isUncertain = failure.kind !== "http" && Boolean(this.record.id);
    if (await this.wasStored(turn)) return;
    turn.element.classList.add("forgotten");
    if (!turn.view.hasText) turn.view.element.remove();
    if (failure.kind === "aborted") {
      turn.element.classList.add("stopped");
      this.composer.putBack(turn.content);
      this.note("stopped");
      return;
    }
    if (failure.code === "session_not_found") {
      this.showGone(turn.content);
      return;
    }
    this.showFailure(turn, failure);
    if (failure.kind === "network") this.page.away();
  }

  // An answer that was complete when the connection went is remembered, although it was not seen.
  async wasStored(turn) {
    if (!turn.isUncertain) return false;
    const session = await this.fetch().catch(() => null);
    if (!session) return false;
    turn.isUncertain = false;
    if (!this.isStored(turn.inFlight, session.history)) return false;
    if (this.record.inFlight === turn.inFlight) this.record.inFlight = null;
    this.showHistory(session.history);
    this.refresh();
    return true;
  }

  showFailure(turn, failure) {
    const leave = () => {
      turn.element.remove();
      this.input.focus();
    };
    const retry = async () => {
      // Whether it has to be sent again is looked up first.
      if ((await this.wasStored(turn)) || this.turn) return;
      leave();
      this.submit(turn.content);
      // What is wrong with the options is told beside them, and the message is not lost.
      if (!this.turn) this.composer.putBack(turn.content);
    };
    const edit = () => {
      leave();
      this.composer.putBack(turn.content);
      this.refresh();
    };
    agent.showError(turn.outcome, failure, { retry, actions: [agent.button("edit", { class: "quiet", onclick: edit, data: { testid: "edit" } })] });
    turn.outcome.append(agent.el("p", { class: "small muted", text: () => agent.t(turn.isUncertain ? "uncertain" : "forgotten") }));
    if (isKeyFailure(failure)) this.page.askForKey(failure, retry);
  }

  // ---- Gone: expired, or deleted elsewhere

  showGone(content = this.record.inFlight?.content ?? this.record.draft) {
    this.isGone = true;
    this.record.isGone = true;
    const anew = content.trim() ? "gone.anew" : "gone.anew.blank";
    const failure = new agent.Failure({ kind: "gone", code: "session_not_found" });
    agent.showError(this.state, failure, {
      actions: [
        agent.button(anew, { class: "primary", onclick: () => this.page.renew(this.record, content), data: { testid: "begin-anew" } }),
        agent.button("gone.remove", { onclick: () => this.page.remove(this.record), data: { testid: "remove-gone" } }),
      ],
    });
    this.save();
    this.refresh();
    this.toBottom(true);
  }

  dispose() {
    this.turn?.controller.abort();
    this.element.remove();
  }
}

function isKeyFailure({ code }) {
  return code === "missing_api_key" || code === "invalid_api_key";
}
