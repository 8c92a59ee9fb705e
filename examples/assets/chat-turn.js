// One message and the answer to it, from sending to its end.
//
//   new Turn({content, role, before, onrender})    .element, .said, .view, .outcome (where its failure is told), .controller,
//                                                  .inFlight (what is kept of it meanwhile); .ask(path, request), .breakOff()
"use strict";

class Turn {
  constructor({ content, role, before, onrender }) {
    this.content = content;
    this.inFlight = { content, before, tab: tabs.own };
    this.isUncertain = false; // whether it was remembered
    this.controller = new AbortController();
    this.said = userMessage({ content, role, created_at: new Date().toISOString() });
    this.view = new AnswerView(onrender);
    this.outcome = agent.el("div", { class: "turn-outcome" });
    this.element = agent.el("div", { class: "turn", data: { testid: "turn" } }, this.said, this.view.element, this.outcome);
  }

  // Sends it, and follows the answer to its end → the service's whole answer.
  async ask(path, { body, headers }) {
    const { signal } = this.controller;
    const watch = new SilenceWatch(signal);
    let code = "network";
    let requestId = null;
    try {
      const response = await agent.open("POST", path, { body, headers: { ...headers, Accept: "text/event-stream" }, signal: watch.signal });
      code = "interrupted";
      requestId = response.headers.get("X-Request-ID");
      for await (const events of readEvents(response)) {
        watch.heard();
        for (const { event, data } of events) {
          if (event === "message.started") requestId = data.request_id;
          else if (event === "message.delta") this.view.delta(data.content);
          else if (event === "tool.started") this.view.toolStarted(data);
          else if (event === "tool.finished") this.view.toolFinished(data);
          else if (event === "message.completed") return data;
          else if (event === "error") throw agent.Failure.ofBody(data);
        }
      }
    } catch (error) {
      if (signal.aborted || (error instanceof agent.Failure && error.kind === "http")) throw error;
    } finally {
      watch.end();
    }
    throw new agent.Failure({ kind: "network", code, requestId });
  }

  breakOff() {
    this.view.breakOff();
    if (!this.view.hasText) this.view.element.remove();
  }
}
