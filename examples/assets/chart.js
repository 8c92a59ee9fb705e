"use strict";
/*
 * Line charts as plain SVG, with no library:
 *
 *   const chart = lineChart(host, { tones: ["main", "bad"] });      for each line a CSS class, tone-NAME
 *   chart.draw({ title, names, samples, span, format, words });     as often as there is something new
 *
 * A sample is { at: ms, values: [number or null, …], breaks: boolean, note: text or nothing }: null leaves a hole,
 * `breaks` draws no line from the sample before, a note is a mark through the chart.
 *
 * The plot is a slider over its samples: the pointer or the arrow keys choose one, the legend reads it out, and a table
 * that is only heard tells the last values.
 */
const lineChart = (() => {
  const HEIGHT = 200;
  const MARGIN = { top: 10, right: 14, bottom: 24, left: 52 };
  const TABLE_ROWS = 5;
  const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

  function make(tag, attributes = {}, ...children) {
    const element = /^(svg|g|path|line|circle|text)$/.test(tag)
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** The round step (1, 2 or 5 times a power of ten) that divides a span into at most `count` parts. */
  function roundStep(span, count) {
    const rough = span / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough * 0.999);
  }

  /** Round times within a span, by the local clock. */
  function timeTicks(from, to, count) {
    const seconds = (to - from) / 1000 / count;
    const step = 1000 * (TIME_STEPS.find((step) => step >= seconds) ?? TIME_STEPS.at(-1));
    const shift = new Date(to).getTimezoneOffset() * 60000;
    const ticks = [];
    for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) ticks.push(at);
    return ticks.map((at) => ({ at, label: clock(at, step < 60000) }));
  }

  /** The time of day, in the page's language. */
  function clock(at, withSeconds) {
    const options = { hour: "2-digit", minute: "2-digit", second: withSeconds ? "2-digit" : undefined, hourCycle: "h23" };
    return new Date(at).toLocaleTimeString(document.documentElement.lang, options);
  }

  return function lineChart(host, { tones }) {
    const when = make("span", { class: "chart-when" });
    const legend = make("ul", { class: "chart-legend" });
    const plot = make("div", { class: "chart-plot", role: "slider", tabindex: "0", "aria-valuemin": "0" });
    const table = make("div", { class: "visually-hidden" });
    host.append(make("div", { class: "chart-readout" }, legend, when), plot, table);

    let data = null;
    let chosen = null; // the time of the sample that is read out; null for the newest
    const index = () => {
      const found = data.samples.findIndex((sample) => sample.at === chosen);
      return found < 0 ? data.samples.length - 1 : found;
    };
    const shown = (value) => (value === null || value === undefined ? "–" : data.format(value));

    function readOut() {
      const sample = data.samples[index()];
      legend.replaceChildren(...data.names.map((name, line) => make("li", {},
        make("svg", { class: `chart-key line-${line} tone-${tones[line]}`, viewBox: "0 0 20 8", "aria-hidden": "true" },
          make("path", { d: "M2 4H18" })),
        make("span", {}, name), make("b", {}, sample ? shown(sample.values[line]) : "–"))));
      when.textContent = sample && chosen !== null ? clock(sample.at, true) : "";
      plot.setAttribute("aria-label", data.title);
      plot.setAttribute("aria-valuemax", Math.max(0, data.samples.length - 1));
      plot.setAttribute("aria-valuenow", Math.max(0, index()));
      plot.setAttribute("aria-valuetext", sample ? [clock(sample.at, true), sample.note,
        ...data.names.map((name, line) => `${name} ${shown(sample.values[line])}`)].filter(Boolean).join(", ")
        : data.words.empty);
    }

    function paint() {
      const { samples, span } = data;
      const width = Math.max(240, host.clientWidth);
      const to = samples.at(-1)?.at ?? Date.now();
      const from = Math.min(samples[0]?.at ?? to, to - span);
      const values = samples.flatMap((sample) => sample.values).filter(Number.isFinite);
      const most = Math.max(...values, 0) || 1;
      const step = roundStep(most, 4);
      const top = step * Math.ceil(most / step - 0.001);
      const x = (at) => MARGIN.left + ((at - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
      const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);

      const drawing = make("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
      for (let tick = 0; tick <= top / step + 0.001; tick += 1) {
        const at = y(tick * step);
        drawing.append(make("line", { class: "chart-grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
          make("text", { x: MARGIN.left - 8, y: at + 4, "text-anchor": "end" }, data.format(Number((tick * step).toPrecision(6)))));
      }
      for (const { at, label } of timeTicks(from, to, Math.max(2, Math.floor(width / 130)))) {
        if (x(at) > width - 30 || x(at) < MARGIN.left + 16) continue;
        drawing.append(make("text", { x: x(at), y: HEIGHT - 6, "text-anchor": "middle" }, label));
      }
      for (const sample of samples.filter((sample) => sample.note)) {
        drawing.append(make("line", { class: "chart-mark", x1: x(sample.at), x2: x(sample.at), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
      }
      tones.forEach((tone, line) => {
        let path = "";
        let pen = "M";
        for (const sample of samples) {
          const value = sample.values[line];
          if (sample.breaks || !Number.isFinite(value)) pen = "M";
          if (!Number.isFinite(value)) continue;
          // A line of no length is a dot: what stands alone is seen, too.
          path += `${pen}${x(sample.at).toFixed(1)} ${y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`;
          pen = "L";
        }
        if (path) drawing.append(make("path", { class: `chart-line line-${line} tone-${tone}`, d: path }));
      });
      const sample = samples[index()];
      if (sample && chosen !== null) {
        drawing.append(make("line", { class: "chart-cursor", x1: x(sample.at), x2: x(sample.at), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
        sample.values.forEach((value, line) => {
          if (Number.isFinite(value)) drawing.append(make("circle", { class: `chart-dot tone-${tones[line]}`, cx: x(sample.at), cy: y(value), r: 4 }));
        });
      }
      plot.replaceChildren(drawing);
      if (!values.length) plot.append(make("p", { class: "chart-empty" }, data.words.empty));
      plot.nearest = (pointer) => samples.reduce((best, sample) => (
        best === null || Math.abs(x(sample.at) - pointer) < Math.abs(x(best.at) - pointer) ? sample : best), null);
    }

    function tell() {
      const cell = (tag, text, scope) => make(tag, scope ? { scope } : {}, text);
      table.replaceChildren(make("table", {}, make("caption", {}, `${data.title}: ${data.words.lastValues}`),
        make("thead", {}, make("tr", {}, cell("th", data.words.time, "col"), ...data.names.map((name) => cell("th", name, "col")))),
        make("tbody", {}, ...data.samples.slice(-TABLE_ROWS).reverse().map((sample) => make("tr", {},
          cell("th", clock(sample.at, true), "row"), ...sample.values.map((value) => cell("td", shown(value))))))));
    }

    function choose(at) {
      if (chosen === at) return;
      chosen = at;
      if (data) { readOut(); paint(); }
    }
    plot.addEventListener("pointermove", (event) => {
      const nearest = plot.nearest?.(event.clientX - plot.getBoundingClientRect().left);
      if (nearest) choose(nearest.at);
    });
    plot.addEventListener("pointerleave", () => choose(null));
    plot.addEventListener("blur", () => choose(null));
    plot.addEventListener("keydown", (event) => {
      const last = (data?.samples.length ?? 0) - 1;
      const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -last, End: last };
      if (last < 0 || !(event.key in moves || event.key === "Escape")) return;
      event.preventDefault();
      choose(event.key === "Escape" ? null : data.samples[Math.min(last, Math.max(0, index() + moves[event.key]))].at);
    });
    new ResizeObserver(() => { if (data) paint(); }).observe(host);

    return {
      /** Shows these samples, in the words and formats of the page's language. */
      draw(next) {
        data = next;
        readOut();
        paint();
        tell();
      },
    };
  };
})();
