// The effective configuration, and where each value comes from.
"use strict";

agent.addTexts({
  en: {
    "config.title": "Configuration", "config.lead": "What is in effect, and where each value comes from. Secrets are never shown: *** stands for one that is set.",
    "config.filter": "Filter by name or value", "config.source": "Source", "config.value": "Value", "config.name": "Name", "config.table": "Effective configuration",
    "config.all": "All sources", "config.unset": "not set", "config.secret": "a secret, not shown", "config.nothing": "No setting matches.",
    "config.count": { one: "{shown} of {count} setting", other: "{shown} of {count} settings" },
    "source.default": "default", "source.yaml": "YAML file", "source.dotenv": ".env file", "source.env": "environment", "source.flag": "command line",
  },
  fa: {
    "config.title": "پیکربندی", "config.lead": "آنچه برقرار است و سرچشمهٔ هر مقدار. رازها هرگز نشان داده نمی‌شوند: *** یعنی رازی تنظیم شده است.",
    "config.filter": "فیلتر با نام یا مقدار", "config.source": "سرچشمه", "config.value": "مقدار", "config.name": "نام", "config.table": "پیکربندی برقرار",
    "config.all": "همهٔ سرچشمه‌ها", "config.unset": "تنظیم نشده", "config.secret": "راز، نشان داده نمی‌شود", "config.nothing": "تنظیمی با این فیلتر نیست.",
    "config.count": { one: "{shown} از {count} تنظیم", other: "{shown} از {count} تنظیم" },
    "source.default": "پیش‌فرض", "source.yaml": "پروندهٔ YAML", "source.dotenv": "پروندهٔ .env", "source.env": "محیط", "source.flag": "خط فرمان",
  },
});

{
  const { byId, el, t } = agent;
  const body = byId("config-body");
  const load = admin.loader(body);
  const [filter, source] = [byId("config-filter"), byId("config-source")];
  let entries = null;

  const sourceName = (name) => (t(`source.${name}`) === `source.${name}` ? name : t(`source.${name}`));

  const value = (text) => {
    if (text === "") return el("span", { class: "muted", text: () => t("config.unset") });
    const shown = el("code", { dir: "ltr", text });
    return text === "***" ? el("span", {}, shown, el("span", { class: "visually-hidden", text: () => ` (${t("config.secret")})` })) : shown;
  };

  // The roles say again what a table is: on a phone its rows are laid out as blocks, which takes them away.
  const row = (entry) => el("tr", { role: "row", data: { name: entry.name, source: entry.source } },
    el("th", { role: "rowheader", scope: "row" }, el("code", { dir: "ltr", text: entry.name })),
    el("td", { role: "cell" }, value(entry.value)),
    el("td", { role: "cell" }, el("span", { class: `badge ${entry.source === "default" ? "" : "info"}`, text: () => sourceName(entry.source) })));
  const heading = (key) => el("th", { role: "columnheader", scope: "col", text: () => t(key) });

  function draw() {
    if (!entries) return;
    const wanted = filter.value.trim().toLowerCase();
    const shown = entries.filter((entry) => (!source.value || entry.source === source.value)
      && `${entry.name}\n${entry.value}`.toLowerCase().includes(wanted));
    byId("config-count").textContent = t("config.count", { shown: shown.length, count: entries.length });
    body.replaceChildren(shown.length === 0 ? admin.empty("config.nothing") : el("div", { class: "card config-card" }, el("table", { role: "table", class: "config-table", label: () => t("config.table") },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heading("config.name"), heading("config.value"), heading("config.source"))),
      el("tbody", { role: "rowgroup" }, ...shown.map(row)))));
  }

  function fillSources() {
    const chosen = source.value;
    const names = [...new Set((entries ?? []).map((entry) => entry.source))].sort();
    source.replaceChildren(el("option", { value: "" }, t("config.all")), ...names.map((name) => el("option", { value: name }, sourceName(name))));
    source.value = names.includes(chosen) ? chosen : "";
  }

  filter.addEventListener("input", draw);
  source.addEventListener("change", draw);
  document.addEventListener("languagechange", () => {
    fillSources();
    draw();
  });

  admin.panels.config = {
    show() {
      fillSources();
      load((signal) => admin.request("GET", "/admin/config", { signal }), (answer) => {
        entries = answer.body;
        fillSources();
        draw();
      });
    },
    leave: load.stop,
  };
}
