// The addresses and networks that no limit applies to.
"use strict";

agent.addTexts({
  en: {
    "bypass.title": "Who is not limited",
    "bypass.lead": "Requests from these addresses and networks are never refused for being too many. With Redis, the list is shared and lasts; without, it ends with the process.",
    "bypass.label": "Address or network", "bypass.add": "Add",
    "bypass.hint": "An address like 203.0.113.7 or 2001:db8::1, or a network like 10.0.0.0/8.",
    "bypass.v4": "IPv4 address", "bypass.v6": "IPv6 address", "bypass.v4net": "IPv4 network", "bypass.v6net": "IPv6 network",
    "bypass.strange": "This does not look like an address or a network.",
    "bypass.all": "This is everybody: nobody would be limited.",
    "bypass.empty": "Nobody: the limits apply to all.", "bypass.remove": "Remove", "bypass.removeOne": "Remove {ip}",
    "bypass.sure": "Limit {ip} again?", "bypass.sureText": "The limits apply to it again at once.",
    "bypass.added": "{ip} is on the list", "bypass.removed": "{ip} is off the list",
    "failure.invalid_ip": "That is no address and no network", "advice.invalid_ip": "Write an address like 203.0.113.7, or a network like 10.0.0.0/8.",
    "failure.bypass_not_found": "It is not on the list", "advice.bypass_not_found": "Somebody else has removed it.",
  },
  fa: {
    "bypass.title": "چه کسانی محدود نمی‌شوند",
    "bypass.lead": "درخواست‌های این نشانی‌ها و شبکه‌ها هرگز به‌سبب زیادی رد نمی‌شوند. با Redis فهرست مشترک و ماندگار است؛ بی آن با پایان سرویس از میان می‌رود.",
    "bypass.label": "نشانی یا شبکه", "bypass.add": "افزودن",
    "bypass.hint": "نشانی‌ای مانند \u2066203.0.113.7\u2069 یا \u20662001:db8::1\u2069، یا شبکه‌ای مانند \u206610.0.0.0/8\u2069.",
    "bypass.v4": "نشانی IPv4", "bypass.v6": "نشانی IPv6", "bypass.v4net": "شبکهٔ IPv4", "bypass.v6net": "شبکهٔ IPv6",
    "bypass.strange": "این به نشانی یا شبکه نمی‌ماند.",
    "bypass.all": "این یعنی همه: هیچ‌کس محدود نمی‌شود.",
    "bypass.empty": "هیچ‌کس: محدودیت برای همه برقرار است.", "bypass.remove": "برداشتن", "bypass.removeOne": "برداشتن \u2066{ip}\u2069",
    "bypass.sure": "محدودیت برای \u2066{ip}\u2069 برگردد؟", "bypass.sureText": "محدودیت بی‌درنگ دوباره برایش برقرار می‌شود.",
    "bypass.added": "\u2066{ip}\u2069 در فهرست است", "bypass.removed": "\u2066{ip}\u2069 از فهرست برداشته شد",
    "failure.invalid_ip": "این نه نشانی است و نه شبکه", "advice.invalid_ip": "نشانی‌ای مانند \u2066203.0.113.7\u2069 یا شبکه‌ای مانند \u206610.0.0.0/8\u2069 بنویسید.",
    "failure.bypass_not_found": "در فهرست نیست", "advice.bypass_not_found": "کس دیگری آن را برداشته است.",
  },
});

{
  const { byId, el, t } = agent;
  const input = byId("bypass-ip");
  const host = byId("bypass-list");
  const error = byId("bypass-error");
  const load = admin.loader(host);
  const add = agent.button("bypass.add", { id: "bypass-submit", type: "submit", icon: "plus", class: "primary" });
  byId("bypass-add").append(add);

  // What a text is, as far as a page can tell; the service has the last word.
  function kindOf(text) {
    const [address, length, ...more] = text.split("/");
    const bits = length === undefined ? null : /^\d{1,3}$/.test(length) ? Number(length) : NaN;
    const isFour = /^(\d{1,3}\.){3}\d{1,3}$/.test(address) && address.split(".").every((part) => Number(part) < 256);
    const isSix = !isFour && address.includes(":") && URL.canParse(`http://[${address}]/`);
    const most = isFour ? 32 : 128;
    if (more.length || !(isFour || isSix) || (bits !== null && !(bits <= most))) return "strange";
    if (bits === 0) return "all";
    return `${isFour ? "v4" : "v6"}${bits === null ? "" : "net"}`;
  }

  const hint = byId("bypass-hint");
  function showHint() {
    const kind = input.value.trim() ? kindOf(input.value.trim()) : "hint";
    const text = t(`bypass.${kind}`);
    if (hint.textContent !== text) hint.textContent = text;
    hint.className = kind === "strange" || kind === "all" ? "field-error" : "field-hint";
  }
  input.addEventListener("input", () => {
    input.removeAttribute("aria-invalid");
    error.replaceChildren();
    showHint();
  });
  document.addEventListener("languagechange", showHint);

  byId("bypass-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const ip = input.value.trim();
    if (!ip) return input.focus();
    add.disabled = true;
    error.replaceChildren();
    try {
      const answer = await admin.request("POST", "/admin/bypass", { body: { ip } });
      input.value = "";
      showHint();
      agent.announce(t("bypass.added", { ip: answer.body.ip }));
      refresh();
    } catch (failure) {
      if (failure.kind !== "aborted") agent.showError(error, failure);
      if (failure.status === 400 || failure.status === 422) input.setAttribute("aria-invalid", "true");
    } finally {
      add.disabled = false;
      input.focus();
    }
  });

  async function remove(ip) {
    const isSure = await agent.confirm({ title: t("bypass.sure", { ip }), text: t("bypass.sureText"), confirm: t("bypass.remove"), danger: true });
    if (!isSure) return;
    try {
      await admin.request("DELETE", `/admin/bypass/${encodeURIComponent(ip)}`);
      agent.announce(t("bypass.removed", { ip }));
      input.focus();
    } catch (failure) {
      if (failure.kind === "aborted") return;
      agent.showError(error, failure, { dismiss: () => error.replaceChildren() });
    }
    refresh();
  }

  const row = (ip) => el("li", { class: "bypass-row", data: { ip } },
    el("code", { dir: "ltr", text: ip }),
    el("span", { class: "badge", text: () => t(`bypass.${kindOf(ip)}`) }),
    agent.button("bypass.remove", { icon: "trash", class: "quiet", label: () => t("bypass.removeOne", { ip }), data: { testid: "bypass-remove" }, onclick: () => remove(ip) }));

  function refresh() {
    return load((signal) => admin.request("GET", "/admin/bypass", { signal }), ({ body }) => {
      host.replaceChildren(body.length === 0 ? admin.empty("bypass.empty") : el("ul", { class: "card bypass-list" }, ...body.map(row)));
    });
  }

  admin.panels.bypass = {
    show() {
      showHint();
      refresh();
    },
    leave: load.stop,
  };
}
