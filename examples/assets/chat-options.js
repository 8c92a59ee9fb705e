// The two panels of a conversation's composer: settings of a new conversation, options of the next messages. What is typed
// lives in the conversation's record, as it was typed, and is checked before anything is sent.
//
//   new SettingsPanel(record, save), new OptionsPanel(record, save)
//     .element, .button (unfolds it), .read() → what to send, or null after showing what is wrong
"use strict";

// A labelled control with its hint and its problem.
class Field {
  constructor({ id, name, hint, control, value, onchange }) {
    this.problem = agent.el("span", { class: "field-error", id: `${id}-problem`, data: { testid: `${name}-problem` } });
    this.control = control;
    control.id = id;
    control.dataset.testid = name;
    control.value = value ?? "";
    control.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
    control.addEventListener("input", () => {
      this.tell("");
      onchange(control.value);
    });
    this.element = agent.el(
      "div", { class: "field" },
      agent.el("label", { for: id, text: () => agent.t(name) }),
      control,
      agent.el("span", { class: "field-hint", id: `${id}-hint`, text: hint }),
      this.problem,
    );
  }

  tell(problem) {
    this.problem.textContent = problem;
    this.control.setAttribute("aria-invalid", String(Boolean(problem)));
  }

  // What was read from it: {value} or {problem}; a problem is shown.
  take({ value, problem }) {
    this.tell(problem ?? "");
    return { value, field: this, isWrong: Boolean(problem) };
  }
}

class Panel {
  constructor({ record, name, title, icon, isSet }) {
    this.isSet = isSet;
    const id = `${name}-${record.key}`;
    this.button = agent.button(name, { icon, class: "quiet", "aria-expanded": "false", "aria-controls": id, data: { testid: `${name}-toggle` } });
    this.button.addEventListener("click", () => this.open(this.element.hidden));
    this.element = agent.el("div", { id, class: "composer-panel", hidden: true, data: { testid: `${name}-panel` } }, agent.el("p", { class: "small muted", text: () => agent.t(title) }));
    this.refresh();
  }

  open(isOpen) {
    this.element.hidden = !isOpen;
    // There is room for one.
    if (isOpen) this.other?.open(false);
    this.button.setAttribute("aria-expanded", String(isOpen));
  }

  // A folded panel shows that it is not empty.
  refresh() {
    this.button.classList.toggle("is-set", this.isSet());
  }

  // All values, or null: then the first wrong field is shown.
  all(...taken) {
    const wrong = taken.find(({ isWrong }) => isWrong);
    if (!wrong) return taken.map(({ value }) => value);
    this.open(true);
    wrong.field.control.focus();
    return null;
  }
}

function jsonArea() {
  return agent.el("textarea", { class: "mono", rows: "3", dir: "ltr", spellcheck: "false", autocomplete: "off" });
}

function limitInput() {
  return agent.el("input", { type: "text", inputmode: "numeric", autocomplete: "off" });
}

class SettingsPanel extends Panel {
  static example = "{\"topic\": \"travel\"}";

  constructor(record, save) {
    super({ record, name: "settings", title: "settings.new", icon: "settings", isSet: () => Boolean(record.metadata.trim() || record.limit.trim()) });
    const keep = (name) => (value) => {
      record[name] = value;
      save();
      this.refresh();
    };
    const hint = () => agent.t("metadata.hint", { example: leftToRight(SettingsPanel.example) });
    this.metadata = new Field({ id: `metadata-${record.key}`, name: "metadata", hint, control: jsonArea(), value: record.metadata, onchange: keep("metadata") });
    this.limit = new Field({ id: `limit-${record.key}`, name: "limit", hint: () => agent.t("limit.hint"), control: limitInput(), value: record.limit, onchange: keep("limit") });
    this.element.append(this.metadata.element, this.limit.element);
  }

  read() {
    const metadata = this.metadata.take(readObject(this.metadata.control.value, SettingsPanel.example));
    const values = this.all(metadata, this.limit.take(readLimit(this.limit.control.value)));
    return values && { metadata: values[0], memory_limit: values[1] };
  }
}

class OptionsPanel extends Panel {
  static example = "{\"temperature\": 0.2}";

  constructor(record, save) {
    const { options, key } = record;
    const isSet = () => [options.json, options.limit, options.tool].some((text) => text?.trim()) || options.role === "assistant";
    super({ record, name: "options", title: "options.title", icon: "tool", isSet });
    const field = (name, property, hint, control) =>
      new Field({
        id: `${name.replace(".", "-")}-${key}`, name, hint: typeof hint === "string" ? () => agent.t(hint) : hint, control, value: options[property],
        onchange: (value) => {
          options[property] = value;
          save();
          this.refresh();
        },
      });
    const choice = (role) => agent.el("option", { value: role, text: () => agent.t(`role.${role}`) });
    this.json = field("options.json", "json", () => agent.t("options.hint", { example: leftToRight(OptionsPanel.example) }), jsonArea());
    this.role = field("role", "role", "role.hint", agent.el("select", {}, choice("user"), choice("assistant")));
    this.role.control.value = options.role ?? "user";
    this.limit = field("limit.message", "limit", "limit.message.hint", limitInput());
    this.tool = field("tool", "tool", "tool.hint", agent.el("input", { type: "text", dir: "ltr", autocomplete: "off", spellcheck: "false" }));
    this.element.append(this.json.element, agent.el("div", { class: "field-grid" }, this.role.element, this.limit.element, this.tool.element));
  }

  // Beside the content of a message.
  read() {
    const json = this.json.take(readObject(this.json.control.value, OptionsPanel.example));
    const values = this.all(json, this.limit.take(readLimit(this.limit.control.value)));
    if (!values) return null;
    const tool = this.tool.control.value.trim();
    const options = tool ? { ...values[0], tool_name: tool } : values[0];
    return { role: this.role.control.value, memory_limit: values[1], options };
  }
}
