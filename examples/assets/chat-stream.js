// Server-sent events from a fetch: EventSource cannot post.
//
//   for await (const events of readEvents(response)) …     all events {event, data} that came with one piece of the body;
//                                                          data is what its JSON says
//   new SilenceWatch(signal)    .signal: aborted with the other one, or when nothing was .heard() for long, until .end()
"use strict";

class SilenceWatch {
  // Milliseconds. A service at work gives a sign of life every 15 seconds: by now the third is missing.
  static patience = 45_000;

  constructor(signal) {
    this.ender = new AbortController();
    this.signal = this.ender.signal;
    signal.addEventListener("abort", () => this.ender.abort(), { signal: this.signal });
    if (signal.aborted) this.ender.abort();
    this.heard();
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ender.abort(), SilenceWatch.patience);
  }

  end() {
    clearTimeout(this.timer);
  }
}

async function* readEvents(response) {
  const reader = response.body.getReader();
  const parser = new EventParser();
  const decoder = new TextDecoder();
  let drawn = performance.now();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield parser.parse(decoder.decode(value, { stream: true }));
      // A fast stream must not keep the page from being drawn. Where nobody looks, timers are slow.
      if (performance.now() - drawn > 10 && !document.hidden) {
        await new Promise((resolve) => setTimeout(resolve));
        drawn = performance.now();
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

class EventParser {
  constructor() {
    // A long line comes in many pieces: they are joined once.
    this.pieces = [];
    this.event = "message";
    this.data = [];
  }

  parse(text) {
    const events = [];
    const lines = text.split("\n");
    const open = lines.pop();
    for (const line of lines) {
      const whole = this.pieces.length ? this.pieces.join("") + line : line;
      this.pieces.length = 0;
      this.line(whole.endsWith("\r") ? whole.slice(0, -1) : whole, events);
    }
    if (open) this.pieces.push(open);
    return events;
  }

  line(line, events) {
    if (line === "") {
      if (this.data.length) events.push({ event: this.event, data: JSON.parse(this.data.join("\n")) });
      this.event = "message";
      this.data = [];
    } else if (line.startsWith("event:")) {
      this.event = line.slice(6).trim();
    } else if (line.startsWith("data:")) {
      this.data.push(line.slice(5));
    }
    // Comments keep the connection alive; ids are for coming back to a stream, which an answer does not offer.
  }
}
