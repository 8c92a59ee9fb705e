"use strict";
/* What the service counts, live: polls it, keeps a bounded history of samples, draws tiles and charts. */
(() => {
  /** Samples that are kept: an hour at 5 seconds, four at 20. */
  const MOST_SAMPLES = 720;
  /** The charts are at least this many intervals wide, so that they do not start as a single dot. */
  const LEAST_SPAN = 15;
  const INTERVALS = [5, 10, 20, 60];
  const DEFAULT_INTERVAL = 20;
  /** The second sample comes soon: rates need two. In milliseconds. */
  const FIRST_PAUSE = 2000;

  agent.addTexts(metricsTexts);
  const byId = agent.byId;
  const t = agent.t;
  const lang = () => document.documentElement.lang;
  const clock = (at) => new Date(at).toLocaleTimeString(lang(), { hourCycle: "h23" });
  const whole = (number) => agent.number(number, { maximumFractionDigits: 0 });
  const short = (number) => agent.number(number, number < 10000 ? { maximumFractionDigits: number < 10 ? 2 : 1 }
    : { notation: "compact", maximumFractionDigits: 1 });
  const milliseconds = (number) => agent.number(number, { maximumFractionDigits: number < 10 ? 1 : 0 });

  const pauseButton = agent.button("metrics.pause", { id: "metrics-pause", onclick: () => {
    isPaused = !isPaused;
    drawState();
    if (isPaused) stop();
    else poll();
  } });
  byId("metrics-buttons").append(pauseButton, agent.button("metrics.now", { id: "metrics-refresh", icon: "refresh", onclick: () => poll() }));
  byId("trouble-button").append(agent.button("retry", { id: "trouble-retry", icon: "refresh", onclick: () => poll() }));

  // ---- Samples

  const stored = agent.store.tab.get("metrics");
  let samples = stored?.root === agent.root() ? stored.samples : [];
  let interval = INTERVALS.includes(agent.store.get("metrics-interval")) ? agent.store.get("metrics-interval") : DEFAULT_INTERVAL;
  let isPaused = false;
  let failure = null; // why there is no answer, and since when
  let timer = null;
  let dueAt = 0; // when the next request is to go out
  let running = null; // the AbortController of the request under way

  const COUNTERS = ["requests_total", "responses_total", "errors_total", "rate_limited_total", "llm_calls_total", "tool_calls_total"];

  /** Keeps a sample; one that comes late or after a failure does not continue the line. */
  function keep(body) {
    const last = samples.at(-1);
    const sample = { ...body, at: Date.now() };
    sample.restarted = Boolean(last) && (body.uptime_seconds < last.uptime_seconds || COUNTERS.some((name) => body[name] < last[name]));
    sample.breaks = Boolean(last) && (sample.restarted || sample.at - last.at > 2500 * interval);
    samples = [...samples, sample].slice(-MOST_SAMPLES);
    agent.store.tab.set("metrics", { root: agent.root(), samples });
  }

  /** What a counter gained a minute between a sample and the one before it; null where nobody knows. */
  function perMinute(read) {
    return (sample, index) => {
      const before = samples[index - 1];
      const minutes = before && (sample.uptime_seconds - before.uptime_seconds) / 60;
      return !before || sample.restarted || !(minutes > 0) ? null : Math.max(0, read(sample) - read(before)) / minutes;
    };
  }

  /** What the answers since the sample before took on average; null where nobody knows. */
  function meanLatency(sample, index) {
    const before = samples[index - 1];
    const count = before && !sample.restarted ? sample.responses_total - before.responses_total : 0;
    if (!(count > 0)) return null;
    const sum = (of) => of.request_latency_avg_ms * of.responses_total;
    const mean = Math.max(0, (sum(sample) - sum(before)) / count);
    // The service tells its average with three decimals: after very many answers they say little about a few more.
    const doubt = 0.0005 * (sample.responses_total + before.responses_total) / count;
    return doubt > Math.max(10, mean / 4) ? null : mean;
  }

  const withStatus = (from, to) => (sample) => Object.entries(sample.responses_by_status)
    .reduce((sum, [status, count]) => sum + (status >= from && status <= to && Number(status) !== 429 ? count : 0), 0);

  const CHARTS = [
    { id: "traffic", format: short, lines: [
      ["line.requests", "main", perMinute((sample) => sample.requests_total)],
      ["line.responses", "good", perMinute((sample) => sample.responses_total)],
      ["line.errors", "bad", perMinute((sample) => sample.errors_total)]] },
    { id: "latency", format: milliseconds, empty: "chart.noAnswers", lines: [
      ["line.mean", "main", meanLatency]] },
    { id: "tokens", format: short, lines: [
      ["line.prompt", "main", perMinute((sample) => sample.tokens.prompt)],
      ["line.completion", "good", perMinute((sample) => sample.tokens.completion)]] },
    { id: "calls", format: short, lines: [
      ["line.llmCalls", "main", perMinute((sample) => sample.llm_calls_total)],
      ["line.toolCalls", "warn", perMinute((sample) => sample.tool_calls_total)]] },
    { id: "statuses", format: short, lines: [
      ["line.2xx", "good", perMinute(withStatus(200, 399))],
      ["line.4xx", "warn", perMinute(withStatus(400, 499))],
      ["line.429", "main", perMinute((sample) => sample.responses_by_status["429"] ?? 0)],
      ["line.5xx", "bad", perMinute(withStatus(500, 599))]] },
  ];
  for (const chart of CHARTS) {
    chart.view = lineChart(byId(`chart-${chart.id}`), { tones: chart.lines.map(([, tone]) => tone) });
  }

  // ---- Drawing

  function uptime(seconds) {
    const parts = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
    const first = parts.findIndex(([, length]) => seconds >= length);
    const chosen = first < 0 ? parts.slice(-1) : parts.slice(first, first + 2);
    return chosen.map(([unit, length], index) => {
      const rest = index ? seconds % chosen[0][1] : seconds;
      return agent.number(Math.floor(rest / length), { style: "unit", unit, unitDisplay: agent.language === "fa" ? "short" : "narrow" });
    }).join(" ");
  }

  function drawTiles(sample) {
    const put = (id, text) => { byId(`tile-${id}`).textContent = text ?? "–"; };
    put("requests", sample && whole(sample.requests_total));
    put("responses", sample && whole(sample.responses_total));
    put("errors", sample && whole(sample.errors_total));
    put("rate-limited", sample && whole(sample.rate_limited_total));
    put("sessions", sample && whole(sample.active_sessions));
    put("uptime", sample && uptime(sample.uptime_seconds));
    put("llm-calls", sample && whole(sample.llm_calls_total));
    put("tool-calls", sample && whole(sample.tool_calls_total));
    put("tokens", sample && whole(sample.tokens.prompt + sample.tokens.completion));
    for (const share of ["p50", "p95", "p99"]) {
      byId(`latency-${share}`).textContent = sample?.responses_total ? milliseconds(sample.request_latency_ms[share]) : "–";
    }
    byId("tile-tokens-note").textContent = sample
      ? t("metrics.tokensNote", { prompt: whole(sample.tokens.prompt), completion: whole(sample.tokens.completion) }) : "";
    byId("tile-errors").classList.toggle("is-bad", Boolean(sample?.errors_total));
  }

  /** Every status that was answered with, with its share of all. */
  function drawStatuses(sample) {
    const counts = Object.entries(sample?.responses_by_status ?? {});
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    byId("status-list").replaceChildren(...counts.map(([status, count]) => {
      const tone = status === "429" ? "main" : { 4: "warn", 5: "bad" }[status[0]] ?? "good";
      const bar = agent.el("span", { class: `status-bar tone-${tone}`, "aria-hidden": "true" });
      bar.style.inlineSize = `${Math.max(1, (count / total) * 100)}%`;
        const meaning = [`status.${status}`, `status.${status[0]}`].find((key) => t(key) !== key);
      return agent.el("li", {},
        agent.el("b", {}, agent.number(Number(status), { useGrouping: false })),
        agent.el("span", { class: "status-meaning" }, meaning ? t(meaning) : ""),
        agent.el("span", { class: "status-count" }, `${whole(count)} · ${agent.number(count / total, { style: "percent", maximumFractionDigits: 1 })}`),
        bar);
    }));
    byId("status-none").hidden = total > 0;
  }

  function drawCharts() {
    for (const { id, format, empty = "chart.empty", lines, view } of CHARTS) {
      view.draw({
        title: t(`metrics.${id}.title`),
        names: lines.map(([name]) => t(name)),
        samples: samples.map((sample, index) => ({
          at: sample.at,
          breaks: sample.breaks,
          note: sample.restarted ? t("metrics.restartedMark") : null,
          values: lines.map(([, , value]) => value(sample, index)),
        })),
        span: LEAST_SPAN * interval * 1000,
        format,
        words: { empty: t(empty), lastValues: t("chart.lastValues"), time: t("chart.time") },
      });
    }
  }

  /** What the page is doing, in one word and one colour; written only when it changes, since it is read aloud. */
  function drawState() {
    document.title = t("metrics.page");
    const state = isPaused ? "paused" : failure?.state ?? (samples.length ? "live" : "loading");
    const badge = byId("metrics-state");
    badge.dataset.state = state;
    badge.className = `badge ${{ live: "good", paused: "", loading: "" }[state] ?? "bad"}`;
    if (badge.textContent !== t(`state.${state}`)) badge.textContent = t(`state.${state}`);
    const last = samples.at(-1);
    byId("metrics-updated").textContent = last ? t("metrics.updated", { time: clock(last.at) }) : t("metrics.notUpdated");
    pauseButton.querySelector("span").textContent = t(isPaused ? "metrics.resume" : "metrics.pause");
    byId("metrics-content").classList.toggle("is-stale", Boolean(failure));

    byId("metrics-trouble").hidden = !failure;
    if (failure) {
      const vars = { since: clock(failure.since) };
      const put = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
      put("trouble-title", t(`trouble.${failure.state}`));
      put("trouble-since", t("metrics.since", vars));
      put("trouble-text", t(`help.${failure.state}`, vars));
      byId("trouble-id").replaceChildren(...(failure.requestId ? requestId(failure.requestId) : []));
      drawNext();
    }

    const restart = samples.findLast((sample) => sample.restarted);
    byId("metrics-restarted").hidden = !restart;
    byId("metrics-restarted").textContent = restart ? t("metrics.restarted", { time: clock(restart.at) }) : "";
  }

  /** How long until the next try; called every second while there is trouble. */
  function drawNext() {
    if (!failure) return;
    const left = (at) => Math.max(0, Math.ceil((at - Date.now()) / 1000));
    byId("trouble-next").textContent = isPaused ? t("metrics.retryPaused") : running ? t("metrics.retryNow") : t("metrics.retryNext", { count: left(dueAt) });
    byId("trouble-retry").disabled = left(failure.waitUntil) > 0;
  }
  setInterval(drawNext, 1000);

  const requestId = (id) => [`${t("request")} `, agent.el("code", { dir: "ltr", text: id }), agent.copyButton(() => id, "copy.request")];

  function draw() {
    const last = samples.at(-1);
    drawTiles(last);
    drawStatuses(last);
    drawCharts();
    drawState();
  }

  // ---- Polling

  /** Which of the troubles that the page has words for this is. */
  function troubleOf(error) {
    if (error.kind === "network") return "away";
    if (error.code === "unreadable") return "stranger";
    if (error.status === 404) return error.code === "not_found" ? "off" : "stranger";
    return { 401: "locked", 403: "locked", 429: "limited", 503: "unavailable" }[error.status] ?? "broken";
  }

  function schedule(pause) {
    clearTimeout(timer);
    dueAt = Date.now() + pause;
    timer = isPaused || document.hidden ? null : setTimeout(poll, pause);
  }

  async function poll() {
    clearTimeout(timer);
    running?.abort();
    const mine = running = new AbortController();
    try {
      const answer = await agent.request("GET", "/metrics", { headers: { Accept: "application/json" }, signal: mine.signal, timeout: 10_000 });
      if (typeof answer.body?.uptime_seconds !== "number") throw new agent.Failure({ kind: "http", status: 404, code: "stranger" });
      keep(answer.body);
      failure = null;
    } catch (error) {
      if (error.kind === "aborted") return;
      const state = troubleOf(error);
      failure = { state, since: failure?.state === state ? failure.since : Date.now(), requestId: error.requestId, waitUntil: Date.now() + 1000 * (error.retryAfter ?? 0) };
    } finally {
      if (running === mine) running = null;
    }
    const wait = samples.length < 2 && !failure ? FIRST_PAUSE : interval * 1000;
    schedule(Math.max(wait, (failure?.waitUntil ?? 0) - Date.now()));
    if (failure) drawState();
    else draw();
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    running?.abort();
  }

  // ---- Controls

  const choice = byId("metrics-interval");
  function fillIntervals() {
    choice.replaceChildren(...INTERVALS.map((seconds) => agent.el("option", { value: String(seconds) }, t("metrics.every", { count: seconds }))));
    choice.value = String(interval);
  }
  choice.addEventListener("change", () => {
    interval = Number(choice.value);
    agent.store.set("metrics-interval", interval);
    draw();
    schedule(interval * 1000);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!isPaused) poll();
  });
  document.addEventListener("languagechange", () => {
    fillIntervals();
    draw();
  });

  fillIntervals();
  draw();
  if (!document.hidden) poll();
})();
