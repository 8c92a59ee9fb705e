// One conversation: its messages, the answer that is coming, and the composer. It goes on while another one is shown.
//
//   new Conversation(record, page)    .element, .show() (fetches what was said, once), .recover() (after the service was
//                                     away), .takeOver(names) (another tab has changed these fields of the record),
//                                     .submit(content), .dispose()
//
// `page` is what it needs from around it: save(record), changed() (the list is drawn anew), isVisible(conversation),
// headers() (with the key), away(), askForKey(then), remove(record), renew(record, content)
"use strict";

// Milliseconds that a look-up may take whose outcome is only good to know.
const LOOK_UP = 5_000;

class Conversation {
  constructor(record, page) {
    Object.assign(this, { record, page });
    this.turn = null; // the message being answered
    this.remembered = []; // elements of the messages that the model remembers
    this.newest = null; // when the newest of them was said
    this.loaded = !record.id;
    this.loading = null; // a promise, while it is
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

    this.empty = emptyConversation((content) => this.submit(content));
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

  // Brings what is shown in line with what is so.
  refresh() {
    const { record, turn } = this;
    this.heading.textContent = this.title;
    this.composer.refresh(Boolean(turn));
    this.composer.element.hidden = this.isGone;
    this.empty.hidden = Boolean(record.id) || this.messages.childElementCount > 0;
    this.about.replaceChildren(...(record.id ? aboutConversation(record) : []));
    this.page.changed();
  }

  toBottom(isForced) {
    if (isForced || this.atBottom) this.log.scrollTop = this.log.scrollHeight;
  }

  // ---- What was said

  async show() {
    this.hasNews = false;
    this.composer.fit();
    this.toBottom();
    if (!this.loaded) await this.load();
  }

  async fetch(timeout) {
    const { body } = await agent.request("GET", `sessions/${this.record.id}`, { headers: this.page.headers(), timeout });
    return body;
  }

  // → settles when it is loaded, or has been told why not
  load() {
    this.loading ??= this.fetchHistory();
    return this.loading;
  }

  async fetchHistory() {
    this.log.setAttribute("aria-busy", "true");
    this.state.replaceChildren(loadingLine());
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
      this.loading = null;
      this.log.setAttribute("aria-busy", "false");
      this.refresh();
    }
  }

  recover() {
    if (!this.loaded && !this.loading && this.page.isVisible(this)) this.load();
  }

  // Another tab is at the same conversation: what it has said there is fetched.
  takeOver(names) {
    if (names.includes("id") || names.includes("inFlight")) this.reload();
    else this.refresh();
  }

  reload() {
    if (this.turn) return;
    if (this.loading) {
      this.loading.then(() => this.reload());
      return;
    }
    this.state.replaceChildren();
    this.loaded = !this.record.id;
    if (this.loaded) this.restoreInFlight();
    else this.recover();
    this.refresh();
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
    // Messages that were not remembered stay where they can be sent again.
    this.messages.replaceChildren(...this.remembered, ...this.messages.querySelectorAll(":scope > .turn"));
    this.newest = history.at(-1)?.created_at ?? null;
    // What is forgotten needs no count any more.
    this.record.tokens = Object.fromEntries(history.filter(({ created_at: at }) => usage[at]).map(({ created_at: at }) => [at, usage[at]]));
    this.save();
    this.toBottom(true);
  }

  // A message whose answer nobody waited for: was it stored after all? With a memory of one, the answer is all that is left.
  isStored({ content, before }, history) {
    const since = before ? Date.parse(before) : -Infinity;
    const newer = history.filter((message) => Date.parse(message.created_at) > since);
    return newer.some((message) => message.content === content) || newer[0]?.role === "assistant";
  }

  // One that was on its way when the page was closed. One of this page's own is still on show.
  async restoreInFlight(history = []) {
    const { inFlight } = this.record;
    if (!inFlight || inFlight.tab === tabs.own) return;
    if (this.isStored(inFlight, history)) {
      this.settle(inFlight);
      this.save();
    } else if (await tabs.isOpen(inFlight.tab)) {
      this.leaveTo(inFlight.tab);
    } else if (this.record.inFlight === inFlight) {
      this.putBack(inFlight.content, inFlight);
      this.note("reloaded");
    }
  }

  // Another tab has it in hand, until it says otherwise or is closed.
  async leaveTo(tab) {
    const isHere = () => this.record.inFlight?.tab === tab;
    if (isHere() && !this.turn) this.note("elsewhere");
    if (this.watched === tab) return;
    this.watched = tab;
    await tabs.closed(tab);
    this.watched = null;
    if (isHere()) this.reload();
  }

  settle(inFlight) {
    if (this.record.inFlight === inFlight) this.record.inFlight = null;
  }

  putBack(content, inFlight) {
    this.settle(inFlight);
    this.composer.putBack(content);
  }

  note(key) {
    this.state.replaceChildren(noteLine(key));
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

  // → whether it is on its way
  async submit(content) {
    if (!this.loaded) await this.load();
    if (this.turn || this.isGone || !this.loaded || !content.trim()) return false;
    const wanted = this.composer.read();
    if (!wanted) return false;
    this.run(new Turn({ content, role: wanted.options.role, before: this.newest, onrender: () => this.toBottom() }), wanted);
    return true;
  }

  async run(turn, { settings, options }) {
    const { record } = this;
    const { content } = turn;
    this.turn = turn;
    for (const stopped of this.messages.querySelectorAll(".turn.stopped")) stopped.remove();
    this.state.replaceChildren();
    this.messages.append(turn.element);
    record.inFlight = turn.inFlight;
    record.title ||= titleOf(content);
    if (record.draft === content) this.composer.setDraft("");
    this.save();
    this.refresh();
    this.toBottom(true);

    let failure = null;
    try {
      if (!record.id) await this.begin(settings, turn.controller.signal);
      this.complete(turn, await turn.ask(`sessions/${record.id}/messages`, { body: { content, ...options }, headers: this.page.headers() }));
    } catch (error) {
      failure = agent.Failure.ofException(error, turn.controller.signal);
    }
    this.turn = null;
    this.refresh();
    if (failure) await this.fail(turn, failure);
    this.save();
    this.refresh();
    this.toBottom();
  }

  begin(settings, signal) {
    return tabs.alone(this.record.key, signal, async () => {
      // Another tab may have begun it meanwhile.
      this.save();
      if (this.record.id) return;
      const { body } = await agent.request("POST", "sessions", { body: settings, headers: this.page.headers(), signal });
      this.keep(body);
      this.refresh();
    });
  }

  complete(turn, { message, usage, history }) {
    turn.view.complete(message, usage);
    this.settle(turn.inFlight);
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
    turn.breakOff();
    turn.element.classList.add("forgotten");
    turn.isUncertain = failure.kind !== "http" && Boolean(this.record.id);
    if (failure.kind === "aborted") {
      await this.stopped(turn);
      return;
    }
    if (turn.isUncertain) this.state.replaceChildren(loadingLine());
    if (await this.wasStored(turn)) return;
    if (!this.turn) this.state.replaceChildren();
    if (failure.code === "session_not_found") {
      this.showGone(turn.content);
      return;
    }
    this.showFailure(turn, failure);
    if (failure.kind === "network") this.page.away();
  }

  // Who stops does not wait, neither for the service.
  async stopped(turn) {
    turn.element.classList.add("stopped");
    this.putBack(turn.content, turn.inFlight);
    this.note(turn.isUncertain ? "stopping" : "stopped");
    this.refresh();
    if (!turn.isUncertain) return;
    if (await this.wasStored(turn)) {
      if (this.record.draft === turn.content) this.composer.setDraft("");
    } else if (!turn.isUncertain && turn.element.isConnected) {
      this.note("stopped");
    }
  }

  // An answer that was complete when the connection went is remembered, although it was not seen.
  async wasStored(turn) {
    if (!turn.isUncertain) return false;
    const session = await this.fetch(LOOK_UP).catch(() => null);
    // What is being said by now is not disturbed.
    if (!session || this.turn) return false;
    turn.isUncertain = false;
    if (!this.isStored(turn.inFlight, session.history)) return false;
    this.settle(turn.inFlight);
    turn.element.remove();
    this.state.replaceChildren();
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
      if (this.turn || (await this.wasStored(turn)) || this.turn || !turn.element.isConnected) return;
      leave();
      // What is wrong with the options is told beside them, and the message is not lost.
      if (!(await this.submit(turn.content))) this.putBack(turn.content, turn.inFlight);
    };
    const edit = () => {
      leave();
      this.putBack(turn.content, turn.inFlight);
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
