// Messages as they are shown.
//
//   userMessage(message)              → element
//   new AnswerView(onrender)          .element; .delta(text), .toolStarted(event), .toolFinished(event), .complete(message, usage)
//   AnswerView.of(message, usage, onrender)   one that is complete already
"use strict";

function messageTime(date) {
  return agent.el("time", { datetime: date, title: () => agent.date(date), text: () => agent.time(date) });
}

function userMessage({ content, created_at, role }) {
  return agent.el(
    "article", { class: "message user", data: { testid: "user-message" } },
    agent.el("h3", { class: "visually-hidden", text: () => agent.t("you") }),
    role === "assistant" && agent.el("span", { class: "badge info", text: () => agent.t("as.assistant") }),
    agent.el("div", { class: "bubble", dir: "auto", text: content }),
    agent.el("footer", { class: "message-meta" }, messageTime(created_at)),
  );
}

// One tool at work, or one that has been.
class ToolCard {
  constructor({ server, tool, arguments: given }) {
    const { el } = agent;
    const json = typeof given === "string" ? given : JSON.stringify(given, null, 2);
    this.sign = el("span", { class: "spinner" });
    this.state = "running";
    this.status = el("span", { class: "tool-status", text: () => this.words() });
    this.element = el(
      "details", { class: "tool", data: { testid: "tool-call", state: this.state } },
      el(
        "summary", {},
        this.sign,
        el("span", { class: "tool-name" }, el("code", { dir: "ltr", text: tool }), el("span", { class: "muted", text: () => agent.t("tool.from", { server }) }), this.status),
        agent.icon("chevron"),
      ),
      el("p", { class: "small muted", text: () => agent.t("tool.arguments") }),
      el("pre", { dir: "ltr", tabindex: "0", role: "group", label: () => agent.t("tool.arguments"), text: json }),
    );
  }

  words() {
    if (this.state === "running") return agent.t("tool.running");
    const isFailed = this.state === "failed";
    if (this.took === undefined) return agent.t("tool.failed");
    return agent.t(isFailed ? "tool.failed.after" : "tool.done", { duration: agent.duration(this.took) });
  }

  finish({ is_error: isError, duration_ms: took }) {
    this.state = isError ? "failed" : "done";
    this.took = took;
    this.element.dataset.state = this.state;
    const sign = agent.icon(isError ? "alert" : "check");
    this.sign.replaceWith(sign);
    this.sign = sign;
    this.status.textContent = this.words();
  }
}

class AnswerView {
  constructor(onrender) {
    this.onrender = onrender;
    this.tools = new Map();
    this.segment = null; // the text that grows
    this.thinking = agent.el("p", { class: "thinking" }, agent.el("span", { class: "spinner" }), agent.el("span", { text: () => agent.t("thinking") }));
    this.body = agent.el("div", { class: "answer-body" }, this.thinking);
    this.meta = agent.el("footer", { class: "message-meta" });
    this.element = agent.el(
      // Screen readers are told when it is complete, not word by word.
      "article", { class: "message assistant", "aria-busy": "true", data: { testid: "answer", state: "streaming" } },
      agent.el("h3", { class: "visually-hidden", text: () => agent.t("assistant") }),
      this.body,
      this.meta,
    );
  }

  static of(message, usage, onrender) {
    const view = new AnswerView(onrender);
    for (const call of message.metadata?.tool_calls ?? []) {
      const card = new ToolCard(call);
      card.finish(call);
      view.body.append(card.element);
    }
    view.complete(message, usage);
    return view;
  }

  get hasText() {
    return this.body.childElementCount > 0 && !this.thinking.isConnected;
  }

  writeTo() {
    if (!this.segment) {
      const element = agent.el("div", { class: "markdown", data: { testid: "answer-text" } });
      this.body.append(element);
      this.segment = new MarkdownStream(element, { onrender: this.onrender });
    }
    return this.segment;
  }

  delta(text) {
    this.thinking.remove();
    this.writeTo().append(text);
  }

  toolStarted(event) {
    this.thinking.remove();
    this.segment?.finish();
    this.segment = null;
    const card = new ToolCard(event);
    this.tools.set(event.call_id, card);
    this.body.append(card.element);
    this.onrender?.();
  }

  toolFinished(event) {
    this.tools.get(event.call_id)?.finish(event);
    // The model reads the result now.
    if ([...this.tools.values()].every(({ state }) => state !== "running") && !this.segment) this.body.append(this.thinking);
    this.onrender?.();
  }

  complete(message, usage) {
    this.end("complete");
    this.writeTo().finish(message.content);
    const { finish_reason: reason, unavailable_servers: missing } = message.metadata ?? {};
    if (missing?.length) {
      const words = () => agent.t("unavailable", { servers: missing.join(agent.language === "fa" ? "، " : ", ") });
      this.body.append(agent.el("p", { class: "unavailable", data: { testid: "unavailable-servers" } }, agent.icon("alert"), agent.el("span", { text: words })));
    }
    const parts = [messageTime(message.created_at)];
    if (Number.isFinite(usage?.total_tokens)) {
      const { prompt_tokens: prompt = 0, completion_tokens: completion = 0, total_tokens: count } = usage;
      parts.push(agent.el("span", { data: { testid: "tokens" }, title: () => agent.t("tokens.detail", { prompt, completion }), text: () => agent.t("tokens", { count }) }));
    }
    if (reason && reason !== "stop") {
      const key = ["length", "content_filter"].includes(reason) ? `finish.${reason}` : "finish.other";
      parts.push(agent.el("span", { class: "badge warn", data: { testid: "finish-reason" }, text: () => agent.t(key, { reason }) }));
    }
    this.meta.replaceChildren(...parts, agent.copyButton(() => message.content, "copy.answer"));
  }

  // It ends before it is complete.
  breakOff() {
    this.end("broken");
    this.segment?.finish();
    for (const card of this.tools.values()) {
      if (card.state === "running") card.finish({ is_error: true });
    }
  }

  end(state) {
    this.thinking.remove();
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", "false");
  }
}
