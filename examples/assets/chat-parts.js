// Parts of a conversation that have no state of their own.
//
//   emptyConversation(submit)    → element: what it says before anything is said
//   aboutConversation(record)    → elements: what its session is
//   loadingLine(), noteLine(key) → element
"use strict";

function emptyConversation(submit) {
  const { el, t } = agent;
  const suggestion = (key) => agent.button(key, { onclick: () => submit(t(key)), data: { testid: key } });
  return el(
    "div", { class: "empty", data: { testid: "empty" } },
    el("span", { class: "brand-mark large", "aria-hidden": "true" }),
    el("p", { class: "empty-title", text: () => t("empty.title") }),
    el("p", { text: () => t("empty.text") }),
    el("div", { class: "row suggestions" }, suggestion("suggest.1"), suggestion("suggest.2")),
  );
}

function aboutConversation(record) {
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

function loadingLine() {
  return agent.el("p", { class: "thinking" }, agent.el("span", { class: "spinner" }), agent.el("span", { text: () => agent.t("history.loading") }));
}

function noteLine(key) {
  return agent.el("p", { class: "note", role: "status", data: { testid: "note" }, text: () => agent.t(key) });
}
