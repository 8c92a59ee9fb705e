// The administration page: who is logged in, which panel is shown.
//
//   admin.panels[name] = {show({id, entry}), leave()}   what a panel's file adds: shown, perhaps with one of its entries
//   admin.request(method, path, options)   agent.request with the token; a token that is refused leads back to the login
//   admin.token()                          the token itself
//   admin.go(panel, entry)                 shows a panel, or one entry of it; the address remembers both
"use strict";

const admin = { panels: {} };

agent.addTexts({
  en: {
    "admin.page": "Administration · Chat Agent", "admin.title": "Administration", "admin.tabs": "Areas",
    "tab.bypass": "Bypass list", "tab.sessions": "Active sessions", "tab.history": "History", "tab.runtime": "Runtime", "tab.config": "Configuration",
    "login.title": "Log in", "login.lead": "With the administration token of this service.", "login.token": "Token",
    "login.hint": "It is kept for this tab only, and forgotten when you close it.", "login.submit": "Log in", "login.out": "Log out",
    "login.empty": "Enter the token.", "login.characters": "A token has no such characters in it: Latin letters, digits and signs only. Check the keyboard’s language.",
    "login.ended": "Your token is not accepted any more: it was changed. Log in with the new one to go on where you were.",
    "login.done": "Logged in",
    "advice.admin_disabled": "The service has no administration token. Its operator sets the variable ADMIN_TOKEN to a long random text (openssl rand -hex 32 makes one) and restarts the service.",
    "failure.guessing": "Too many tries", "advice.guessing": "The wrong token was tried too often from your network. Wait a moment.",
    "refresh": "Refresh",
  },
  fa: {
    "admin.page": "مدیریت · گفت‌وگویار", "admin.title": "مدیریت", "admin.tabs": "بخش‌ها",
    "tab.bypass": "فهرست معاف", "tab.sessions": "نشست‌های فعال", "tab.history": "تاریخچه", "tab.runtime": "وضعیت اجرا", "tab.config": "پیکربندی",
    "login.title": "ورود", "login.lead": "با توکن مدیریت این سرویس.", "login.token": "توکن",
    "login.hint": "تنها برای همین برگه نگه داشته می‌شود و با بستن آن فراموش می‌شود.", "login.submit": "ورود", "login.out": "خروج",
    "login.empty": "توکن را وارد کنید.", "login.characters": "چنین نویسه‌هایی در توکن نیست: تنها حروف لاتین، رقم و نشانه. زبان صفحه‌کلید را بررسی کنید.",
    "login.ended": "توکن شما دیگر پذیرفته نمی‌شود: عوض شده است. با توکن تازه وارد شوید تا از همان‌جا ادامه دهید.",
    "login.done": "وارد شدید",
    "advice.admin_disabled": "سرویس توکن مدیریت ندارد. گرداننده باید متغیر ADMIN_TOKEN را متنی بلند و تصادفی بگذارد (openssl rand -hex 32 یکی می‌سازد) و سرویس را از نو راه بیندازد.",
    "failure.guessing": "تلاش بیش از اندازه", "advice.guessing": "توکن نادرست بارها از شبکهٔ شما آزموده شده است. کمی صبر کنید.",
    "refresh": "تازه‌سازی",
  },
});

{
  const { byId, el, t } = agent;
  const tabs = [...byId("admin-tabs").querySelectorAll("[role=tab]")];
  const names = tabs.map((tab) => tab.dataset.tab);
  let current = null;

  // ---- The token

  admin.token = () => agent.secret.get("admin-token");

  const isRefusal = (failure) => ["missing_admin_token", "invalid_admin_token", "admin_disabled"].includes(failure.code);

  admin.request = async (method, path, options = {}) => {
    const token = admin.token();
    try {
      return await agent.request(method, path, { ...options, headers: { ...options.headers, "X-Admin-Token": token } });
    } catch (failure) {
      if (failure.code === "rate_limited") failure.code = "guessing"; // only guesses are limited here
      if (!isRefusal(failure)) throw failure;
      // An answer to a token that has been replaced meanwhile says nothing about the new one.
      if (admin.token() === token) askForToken(failure);
      throw new agent.Failure({ kind: "aborted" });
    }
  };

  // ---- Login

  const form = byId("login-form");
  const input = byId("login-token");
  const submit = agent.button("login.submit", { id: "login-button", type: "submit", class: "primary" });
  byId("login-submit").append(submit);
  let wrong = null; // the key of what is wrong with the token

  const showWrong = (key) => {
    wrong = key;
    byId("login-wrong").textContent = key ? t(key) : "";
    if (key) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };

  function askForToken(failure) {
    const wasIn = Boolean(admin.token());
    agent.secret.remove("admin-token");
    admin.panels[current]?.leave();
    current = null;
    byId("admin-work").hidden = true;
    byId("admin-account").replaceChildren();
    byId("admin-login").hidden = false;
    byId("login-error").replaceChildren();
    showWrong(null);
    if (failure?.code === "admin_disabled") agent.showError(byId("login-error"), failure);
    else if (failure && wasIn) byId("login-error").replaceChildren(el("p", { id: "login-ended", class: "note warn", role: "alert", text: () => t("login.ended") }));
    input.value = "";
    input.focus();
  }

  async function login(event) {
    event?.preventDefault();
    const token = input.value.trim();
    byId("login-error").replaceChildren();
    showWrong(!token ? "login.empty" : /^[\x20-\x7e]+$/.test(token) ? null : "login.characters");
    if (wrong) return input.focus();
    submit.disabled = true;
    let wait = 0;
    try {
      await agent.request("GET", "/admin/bypass", { headers: { "X-Admin-Token": token } });
      agent.secret.set("admin-token", token);
      enter();
      agent.announce(t("login.done"));
    } catch (failure) {
      if (failure.code === "invalid_admin_token") {
        showWrong("failure.invalid_admin_token");
        input.select();
      } else {
        if (failure.code === "rate_limited") failure.code = "guessing";
        wait = (failure.retryAfter ?? 0) * 1000;
        agent.showError(byId("login-error"), failure, { retry: failure.code === "admin_disabled" ? null : login });
      }
    }
    setTimeout(() => { submit.disabled = false; }, wait);
  }
  form.addEventListener("submit", login);
  input.addEventListener("input", () => showWrong(null));

  function enter() {
    input.value = "";
    byId("admin-login").hidden = true;
    byId("admin-work").hidden = false;
    byId("admin-account").replaceChildren(agent.button("login.out", { id: "logout", onclick: logout }));
    route();
    tabs.find((tab) => tab.dataset.tab === current)?.focus();
  }

  // What was shown goes with the page.
  function logout() {
    agent.secret.remove("admin-token");
    window.history.replaceState(null, "", location.pathname + location.search);
    location.reload();
  }

  // ---- Tabs

  function route() {
    if (!admin.token()) return;
    const [name, id] = location.hash.slice(1).split("/");
    const wanted = names.includes(name) ? name : names[0];
    if (current && current !== wanted) admin.panels[current].leave();
    current = wanted;
    for (const tab of tabs) {
      const isCurrent = tab.dataset.tab === wanted;
      tab.setAttribute("aria-selected", String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
      byId(`panel-${tab.dataset.tab}`).hidden = !isCurrent;
      if (isCurrent) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    const entry = window.history.state?.entry;
    admin.panels[wanted].show({ id: wanted === name ? id : undefined, entry: entry?.id === id ? entry : undefined });
  }

  // The entry travels with the address, so that going back and loading anew still know it.
  admin.go = (panel, entry) => {
    window.history.pushState(entry ? { entry } : null, "", `#${panel}${entry ? `/${entry.id}` : ""}`);
    route();
    if (document.activeElement !== document.body) return;
    // What had the focus is gone with the list.
    byId(`panel-${panel}`).focus({ preventScroll: true });
    window.scrollTo(0, 0);
  };

  byId("admin-tabs").addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) admin.go(tab.dataset.tab);
  });
  byId("admin-tabs").addEventListener("keydown", (event) => {
    const forward = document.documentElement.dir === "rtl" ? -1 : 1;
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + forward, ArrowLeft: at - forward, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    admin.go(tab.dataset.tab);
  });
  window.addEventListener("popstate", route);

  const retitle = () => {
    document.title = t("admin.page");
    if (wrong) showWrong(wrong);
  };
  document.addEventListener("languagechange", retitle);

  // The panels' files are loaded after this one, and all before this event.
  document.addEventListener("DOMContentLoaded", () => {
    retitle();
    if (admin.token()) enter();
    else askForToken();
  });
}
