// Where a message is written: the draft, its settings and options, sending and stopping.
//
//   new Composer(record, {save, submit(content), stop})
//     .element, .input; .read() → {settings, options}, or null after showing what is wrong; .setDraft(text), .putBack(content),
//     .fit(), .refresh(isBusy)
"use strict";

class Composer {
  constructor(record, { save, submit, stop }) {
    const { el, t } = agent;
    Object.assign(this, { record, save });
    this.settings = new SettingsPanel(record, save);
    this.options = new OptionsPanel(record, save);
    this.settings.other = this.options;
    this.options.other = this.settings;

    const id = `message-${record.key}`;
    // On a screen that is touched no Shift is at hand: there, Enter breaks the line.
    const isTouched = window.matchMedia("(pointer: coarse)");
    this.input = el("textarea", { id, rows: "1", enterkeyhint: isTouched.matches ? "enter" : "send", autocomplete: "off", "data-i18n-placeholder": "message.placeholder", placeholder: t("message.placeholder"), value: record.draft, data: { testid: "message-input" } });
    this.input.addEventListener("input", () => this.setDraft(this.input.value));
    this.input.addEventListener("keydown", (event) => {
      // 229: an input method is composing, where isComposing is already false on its last key.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      if (isTouched.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      submit(this.input.value);
    });
    this.sendButton = agent.button("send", { icon: "send", type: "submit", class: "primary icon-only send", data: { testid: "send" } });
    this.stopButton = agent.button("stop", { icon: "stop", class: "primary icon-only send", onclick: stop, data: { testid: "stop" } });
    const onsubmit = (event) => {
      event.preventDefault();
      submit(this.input.value);
    };
    this.element = el(
      "form", { class: "composer", novalidate: "", onsubmit, data: { testid: "composer" } },
      this.settings.element,
      this.options.element,
      el("div", { class: "composer-box" }, el("label", { for: id, class: "visually-hidden", text: () => t("message.label") }), this.input, this.sendButton, this.stopButton),
      el("div", { class: "composer-foot" }, this.settings.button, this.options.button, el("span", { class: "hint-keys", text: () => t("hint.keys") })),
    );
  }

  read() {
    const settings = this.record.id ? {} : this.settings.read();
    const options = settings && this.options.read();
    return options && { settings, options };
  }

  setDraft(text) {
    this.record.draft = text;
    if (this.input.value !== text) this.input.value = text;
    this.fit();
    this.save();
  }

  // A message that was not remembered; what has been written since stays.
  putBack(content) {
    const { draft } = this.record;
    this.setDraft(draft.trim() && draft !== content ? `${content}\n\n${draft}` : content);
  }

  // As high as its text, within what the stylesheet allows.
  fit() {
    // Nothing has a direction of its own: the placeholder has the page's.
    this.input.dir = this.input.value ? "auto" : "";
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight + 2}px`;
  }

  refresh(isBusy) {
    this.sendButton.hidden = isBusy;
    this.stopButton.hidden = !isBusy;
    const isBegun = Boolean(this.record.id);
    this.settings.button.hidden = isBegun;
    if (isBegun) this.settings.open(false);
  }
}
