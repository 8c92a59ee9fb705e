// Tabs of one browser that show the same conversations: who is there, and one at a time.
//
//   tabs.own                 the name of this one, for as long as the page is loaded
//   tabs.isOpen(name)        → whether the tab of that name is still there
//   tabs.closed(name)        settles when it is not
//   tabs.alone(name, signal, work)    → what work() gives, once no other tab does work of this name
//
// Where the browser has no locks, which is over plain HTTP from another machine, every tab takes itself for the only one.
"use strict";

const tabs = {
  own: Date.now().toString(36) + Math.random().toString(36).slice(2, 8),

  async isOpen(name) {
    const { held } = (await navigator.locks?.query().catch(() => null)) ?? { held: [] };
    return held.some((lock) => lock.name === `chat-agent.tab.${name}`);
  },

  async closed(name) {
    await navigator.locks?.request(`chat-agent.tab.${name}`, { mode: "shared" }, () => {}).catch(() => {});
  },

  alone: (name, signal, work) => (navigator.locks ? navigator.locks.request(`chat-agent.work.${name}`, { signal }, work) : work()),
};

{
  // Held until the page is left, however that comes; it may be come back to.
  const leave = (resolve) => window.addEventListener("pagehide", resolve, { once: true });
  const enter = () => navigator.locks?.request(`chat-agent.tab.${tabs.own}`, () => new Promise(leave)).catch(() => {});
  enter();
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) enter(); });
}
