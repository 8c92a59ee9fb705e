// How the service is set up and how it is: its parts, its tool servers, what it depends on.
"use strict";

agent.addTexts({
  en: {
    "runtime.title": "Runtime", "runtime.service": "Service", "runtime.version": "Version", "runtime.features": "Built with",
    "runtime.provider": "Model", "runtime.default": "Answers now", "runtime.available": "Available", "runtime.llm": "Backend", "runtime.model": "Default model",
    "runtime.url": "OpenRouter’s address", "runtime.memory": "Memory", "runtime.where": "Kept in", "runtime.limit": "By default", "runtime.most": "At most",
    "runtime.history": "History", "runtime.configured": "Configured", "runtime.inUse": "In use", "runtime.enabled": "Kept", "runtime.namespace": "Namespace",
    "runtime.tools": "Tool servers (MCP)", "runtime.active": "{active} of {configured} are ready", "runtime.noServers": "No tool servers are configured.",
    "runtime.transport": "Reached by", "runtime.offers": { one: "{count} tool", other: "{count} tools" }, "runtime.noTools": "No tools.", "runtime.error": "Last error",
    "mcp.ready": "ready", "mcp.starting": "starting", "mcp.reconnecting": "reconnecting", "mcp.down": "down",
    "checks.title": "Readiness", "checks.dependency": "Dependency", "checks.state": "State", "checks.since": "Since", "checks.error": "Last error", "checks.backlog": "Waiting", "checks.note": "Note",
    "ready.ready": "ready", "ready.degraded": "degraded", "ready.unavailable": "unavailable", "ready.draining": "draining",
    "ready.readyText": "All is well: messages are answered.", "ready.degradedText": "Messages are answered, but not everything works as it should.",
    "ready.unavailableText": "No message can be answered: something that is needed is away.", "ready.drainingText": "The service is on its way out and takes nothing new.",
    "check.up": "up", "check.degraded": "degraded", "check.down": "down",
  },
  fa: {
    "runtime.title": "وضعیت اجرا", "runtime.service": "سرویس", "runtime.version": "نسخه", "runtime.features": "ساخته‌شده با",
    "runtime.provider": "مدل", "runtime.default": "پاسخ‌دهندهٔ کنونی", "runtime.available": "در دسترس", "runtime.llm": "بک‌اند", "runtime.model": "مدل پیش‌فرض",
    "runtime.url": "نشانی OpenRouter", "runtime.memory": "حافظه", "runtime.where": "جای نگهداری", "runtime.limit": "پیش‌فرض", "runtime.most": "بیشینه",
    "runtime.history": "تاریخچه", "runtime.configured": "پیکربندی‌شده", "runtime.inUse": "در کار", "runtime.enabled": "نگه داشته می‌شود", "runtime.namespace": "فضای نام",
    "runtime.tools": "سرورهای ابزار (MCP)", "runtime.active": "{active} از {configured} آماده‌اند", "runtime.noServers": "سرور ابزاری پیکربندی نشده است.",
    "runtime.transport": "راه ارتباط", "runtime.offers": { one: "{count} ابزار", other: "{count} ابزار" }, "runtime.noTools": "بی‌ابزار.", "runtime.error": "آخرین خطا",
    "mcp.ready": "آماده", "mcp.starting": "در حال آغاز", "mcp.reconnecting": "در حال اتصال دوباره", "mcp.down": "از کار افتاده",
    "checks.title": "آمادگی", "checks.dependency": "وابستگی", "checks.state": "وضعیت", "checks.since": "از", "checks.error": "آخرین خطا", "checks.backlog": "در انتظار", "checks.note": "یادداشت",
    "ready.ready": "آماده", "ready.degraded": "با کاستی", "ready.unavailable": "ناآماده", "ready.draining": "در حال پایان",
    "ready.readyText": "همه‌چیز خوب است: پیام‌ها پاسخ می‌گیرند.", "ready.degradedText": "پیام‌ها پاسخ می‌گیرند، ولی همه‌چیز آن‌چنان که باید نیست.",
    "ready.unavailableText": "هیچ پیامی پاسخ نمی‌گیرد: چیزی که لازم است در دسترس نیست.", "ready.drainingText": "سرویس در حال پایان است و چیز تازه‌ای نمی‌پذیرد.",
    "check.up": "برقرار", "check.degraded": "با کاستی", "check.down": "از کار افتاده",
  },
});

{
  const { byId, el, t } = agent;
  const body = byId("runtime-body");
  const checks = byId("runtime-checks");
  const loadBody = admin.loader(body);
  const loadChecks = admin.loader(checks);

  const TONES = { ready: "good", up: "good", starting: "info", reconnecting: "warn", degraded: "warn", draining: "warn", down: "bad", unavailable: "bad" };
  // A state that this page does not know yet is shown as it is.
  const badge = (family, state) => el("span", { class: `badge ${TONES[state] ?? ""}`, data: { state }, text: () => (t(`${family}.${state}`) === `${family}.${state}` ? state : t(`${family}.${state}`)) });
  const number = (value) => el("span", { text: () => agent.number(value) });
  const yes = (value) => el("span", { text: () => t(value ? "yes" : "no") });
  const technical = (value) => (value ? el("code", { dir: "ltr", text: value }) : null);
  const list = (values) => (values.length ? el("span", { class: "row" }, ...values.map((value) => el("code", { class: "chip", dir: "ltr", text: value }))) : null);
  const card = (key, ...children) => el("section", { class: "card stack" }, el("h3", { text: () => t(key) }), ...children);

  function parts({ provider, memory, history, features, version }) {
    return el("div", { class: "cards" },
      card("runtime.service", admin.facts([["runtime.version", technical(version)], ["runtime.features", list(features)]])),
      card("runtime.provider", admin.facts([
        ["runtime.default", technical(provider.default)],
        ["runtime.available", list(provider.available)],
        ["runtime.llm", technical(provider.llm_provider)],
        ["runtime.model", technical(provider.default_model)],
        ["runtime.url", provider.uses_openrouter ? technical(provider.openrouter_base_url) : undefined],
      ])),
      card("runtime.memory", admin.facts([
        ["runtime.where", technical(memory.backend)],
        ["runtime.limit", el("span", { text: () => t("session.messages", { count: memory.default_limit }) })],
        ["runtime.most", el("span", { text: () => t("session.messages", { count: memory.max_limit }) })],
      ])),
      card("runtime.history", admin.facts([
        ["runtime.enabled", yes(history.enabled)],
        ["runtime.configured", technical(history.configured_backend)],
        ["runtime.inUse", technical(history.backend)],
        ["runtime.namespace", technical(history.namespace)],
      ])));
  }

  const server = ({ name, transport, status, tools, last_error: error }) => el("li", { class: "card stack", data: { testid: "mcp-server", name } },
    el("div", { class: "spread" }, el("h4", { dir: "auto", text: name }), badge("mcp", status)),
    admin.facts([["runtime.transport", technical(transport)], ["runtime.error", error ? el("bdi", { class: "bad-text", text: error }) : undefined]]),
    tools.length === 0 ? el("p", { class: "muted", text: () => t("runtime.noTools") })
      : el("details", {}, el("summary", { text: () => t("runtime.offers", { count: tools.length }) }), list(tools)));

  function servers({ provider, mcp_servers: all }) {
    const vars = { active: provider.mcp_servers_active, configured: provider.mcp_servers_configured };
    return el("section", { class: "stack", id: "mcp-servers" },
      el("h3", { text: () => t("runtime.tools") }),
      all.length === 0 ? admin.empty("runtime.noServers") : el("p", { class: "muted", text: () => t("runtime.active", vars) }),
      all.length > 0 && el("ul", { class: "cards" }, ...all.map(server)));
  }

  // A service that is not ready says so with a failure's status and the same body: it is read here, not as a failure.
  async function readiness(signal) {
    const options = { headers: { "X-Admin-Token": admin.token() }, cache: "no-store", credentials: "omit", signal };
    try {
      const response = await fetch(new URL("health/ready", agent.root()), options);
      const answer = await response.json().catch(() => null);
      if (answer?.status) return answer;
      throw agent.Failure.ofBody(answer, response.status, response.headers);
    } catch (error) {
      throw agent.Failure.ofException(error, signal);
    }
  }

  const check = ({ name, state, since, last_error: error, backlog, note }) => el("li", { class: "card stack", data: { testid: "check", name } },
    el("div", { class: "spread" }, el("h4", { class: "mono", dir: "ltr", text: name }), badge("check", state)),
    admin.facts([
      ["checks.since", since ? el("span", { text: () => agent.date(since) }) : undefined],
      ["checks.error", error ? el("bdi", { class: "bad-text", text: error }) : undefined],
      ["checks.backlog", backlog === null ? undefined : number(backlog)],
      ["checks.note", note ? el("bdi", { text: note }) : undefined],
    ]));

  const verdict = ({ status, checks: all }) => el("section", { class: "stack" },
    el("div", { class: "row" }, el("h3", { text: () => t("checks.title") }), badge("ready", status)),
    el("p", { id: "ready-text", class: "muted", text: () => (t(`ready.${status}Text`) === `ready.${status}Text` ? status : t(`ready.${status}Text`)) }),
    all && el("ul", { class: "cards" }, ...all.map(check)));

  function refresh() {
    loadChecks(readiness, (answer) => checks.replaceChildren(verdict(answer)));
    loadBody((signal) => admin.request("GET", "/admin/runtime", { signal }), ({ body: runtime }) => body.replaceChildren(el("div", { class: "stack wide-gap" }, parts(runtime), servers(runtime))));
  }
  byId("runtime-tools").append(agent.button("refresh", { id: "runtime-refresh", icon: "refresh", onclick: refresh }));

  admin.panels.runtime = {
    show: refresh,
    leave() {
      loadBody.stop();
      loadChecks.stop();
    },
  };
}
