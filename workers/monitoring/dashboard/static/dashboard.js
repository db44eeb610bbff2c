"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LEVELS = 10;
const PLOT = { height: 220, left: 44, right: 12, top: 10, bottom: 24 };

/** Make an element. Strings are inserted as text, never as markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Fetch a path of this server. Relative paths fail if the page's address contains a password. */
const ask = (path) => fetch(new URL(path, window.location.origin), { cache: "no-store" });

function draw(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function weight(log) {
  if (log === null || log === undefined) return "–";
  return Math.abs(log) < 7 ? Math.exp(log).toPrecision(3) : `e^${log.toFixed(1)}`;
}

const count = (number) => number.toLocaleString("en");
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

/** Round up to 1, 2, 5, 10, 20 …: the end of an axis. */
function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, number)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

/** Draw the stacked area plot of one queue, with the most urgent level at the bottom. */
function stackedPlot(samples, queue, names, windowS) {
  const width = Math.max(320, document.getElementById("queues").clientWidth - 34);
  const { height, left, right, top, bottom } = PLOT;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img" });
  svg.setAttribute("aria-label", `Jobs waiting in ${queue} over the last minutes, by level`);
  const now = samples.at(-1).at;
  const most = roundUp(Math.max(1, ...samples.map((each) => sum(each.waiting[queue]))));
  const x = (at) => left + (1 - (now - at) / windowS) * (width - left - right);
  const y = (value) => top + (1 - value / most) * (height - top - bottom);
  drawAxes(svg, { width, height, x, y, most, now, windowS });
  const corner = (at, value) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`;
  // A sample is valid until the next one.
  const steps = (values) => values.flatMap((value, i) => [
    corner(samples[i].at, value),
    corner(i + 1 < samples.length ? samples[i + 1].at : now, value),
  ]);
  let below = samples.map(() => 0);
  for (let level = 0; level < LEVELS; level += 1) {
    const above = samples.map((each, i) => below[i] + each.waiting[queue][level]);
    if (above.some((value, i) => value > below[i])) {
      const area = draw("polygon", {
        points: [...steps(above), ...steps(below).reverse()].join(" "),
        class: `area level-${level}`,
        "data-level": level,
      });
      svg.append(area);
    }
    below = above;
  }
  svg.append(draw("line", {
    x1: left, x2: width - right, y1: y(0), y2: y(0), class: "grid",
  }));
  svg.append(pointer(svg, samples, queue, names, { x, width, height }));
  return svg;
}

function drawAxes(svg, { width, height, x, y, most, now, windowS }) {
  for (const part of most % 2 ? [0, 1] : [0, 0.5, 1]) {
    const value = part * most;
    svg.append(draw("line", {
      x1: PLOT.left, x2: width - PLOT.right, y1: y(value), y2: y(value), class: "grid",
    }));
    const label = draw("text", { x: PLOT.left - 8, y: y(value) + 4, class: "tick tick-y" });
    label.textContent = count(value);
    svg.append(label);
  }
  const stepS = windowS > 240 ? 120 : windowS > 60 ? 30 : 15;
  for (let ago = 0; ago <= windowS; ago += stepS) {
    const label = draw("text", { x: x(now - ago), y: height - 6, class: "tick" });
    if (ago === 0) label.setAttribute("class", "tick tick-now");
    label.textContent = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
    svg.append(label);
  }
}

/** A vertical line and a label that follow the mouse. */
function pointer(svg, samples, queue, names, { x, width, height }) {
  const group = draw("g", { class: "pointer" });
  const line = draw("line", { y1: PLOT.top, y2: height - PLOT.bottom });
  const label = draw("text", { y: PLOT.top + 12 });
  group.append(line, label);
  svg.addEventListener("mousemove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const near = samples.reduce((a, b) => (Math.abs(x(b.at) - at) < Math.abs(x(a.at) - at) ? b : a));
    const parts = near.waiting[queue]
      .map((waiting, level) => [waiting, level])
      .filter(([waiting]) => waiting)
      .map(([waiting, level]) => `${levelName(names, level)}: ${count(waiting)}`);
    const place = x(near.at);
    for (const end of ["x1", "x2"]) line.setAttribute(end, place);
    label.setAttribute("x", place + (place > width / 2 ? -8 : 8));
    label.setAttribute("text-anchor", place > width / 2 ? "end" : "start");
    label.textContent = parts.join("   ") || "no waiting jobs";
    group.classList.add("seen");
  });
  svg.addEventListener("mouseleave", () => group.classList.remove("seen"));
  return group;
}

function levelName(names, level) {
  return names[level] ? `${level} ${names[level]}` : String(level);
}

function levelTable(queue, names, recent) {
  const head = ["level", "waiting", "oldest wait", "weight"].map((text) =>
    make("th", { scope: "col" }, text));
  const body = make("tbody");
  for (const each of queue.levels) {
    if (!each.waiting && !recent.has(each.level)) continue;
    const swatch = make("span", { class: `swatch level-${each.level}`, "aria-hidden": "true" });
    const row = make("tr", { "data-level": each.level });
    row.append(
      make("th", { scope: "row" }, swatch, levelName(names, each.level)),
      make("td", { class: "waiting" }, count(each.waiting)),
      make("td", { class: "oldest" }, duration(each.oldest_wait_s)),
      make("td", { class: "weight" }, weight(each.head_log_weight)),
    );
    body.append(row);
  }
  if (!body.children.length) {
    body.append(make("tr", {}, make("td", { colspan: 4, class: "nothing" }, "No waiting jobs.")));
  }
  const table = make("table", { class: "level-table table table-sm align-middle mb-0" });
  table.append(make("thead", {}, make("tr", {}, ...head)), body);
  return table;
}

function queueCard(queue, state) {
  const { samples, names, windowS } = state;
  const known = samples.filter((each) => queue.queue in each.waiting);
  const recent = new Set();
  for (const each of known) each.waiting[queue.queue].forEach((n, level) => n && recent.add(level));
  const total = sum(queue.levels.map((each) => each.waiting));
  const busy = recent.size > 0;
  const facts = [`${count(total)} waiting`, `${count(queue.reserved)} reserved`];
  if (queue.scheduled) facts.push(`${count(queue.scheduled)} scheduled`);
  if (busy && queue.k_per_s) {
    facts.push(`a level is worth ${duration(1 / queue.k_per_s)}`);
    facts.push(`${Math.round(queue.climbs_per_minute)} climbs/min`);
  } else if (busy) {
    facts.push("levels are strict");
  }
  const card = make("section", { class: "detail-card queue", "data-queue": queue.queue });
  card.append(make("header", {}, make("h2", {}, queue.queue), make("p", {}, facts.join(" · "))));
  if (busy && known.length > 1) card.append(stackedPlot(known, queue.queue, names, windowS));
  if (busy) card.append(levelTable(queue, names, recent));
  return card;
}

function tile(label, value, kind = "") {
  return make("article", { class: `metric-card ${kind && `metric-card-${kind}`}` },
    make("p", { class: "metric-label" }, label),
    make("p", { class: "metric-value", "data-tile": label }, value));
}

function tiles({ queues, dead, models }) {
  const levels = queues.flatMap((queue) => queue.levels);
  const waits = levels.map((each) => each.oldest_wait_s).filter((each) => each !== null);
  const swept = queues.map((queue) => queue.last_sweep_s_ago).filter((each) => each !== null);
  const found = [
    tile("Waiting", count(sum(levels.map((each) => each.waiting)))),
    tile("Reserved", count(sum(queues.map((each) => each.reserved))), "active"),
    tile("Scheduled", count(sum(queues.map((each) => each.scheduled)))),
    tile("Oldest wait", duration(waits.length ? Math.max(...waits) : null)),
    tile("Last sweep", swept.length ? `${duration(Math.max(...swept))} ago` : "–",
      swept.length && Math.max(...swept) < 30 ? "success" : "danger"),
  ];
  found.push(tile("Dead letters", count(dead), dead ? "danger" : "success"));
  if (models.length) found.push(tile("Active models", models.join(", "), "active"));
  return found;
}

/** The page of the queues: fetch new samples and redraw, periodically. */
function queuesPage(page) {
  const looked = document.getElementById("looked");
  let samples = [];
  let latest = null;

  function show() {
    const spanS = samples.length ? samples.at(-1).at - samples[0].at : 0;
    const keptS = latest.kept * latest.every_s;
    const windowS = [60, 120, 300, keptS].find((each) => each >= spanS) ?? keptS;
    const state = { samples, names: latest.levels, windowS };
    document.getElementById("tiles").replaceChildren(...tiles(latest));
    const cards = latest.queues.map((queue) => queueCard(queue, state));
    document.getElementById("queues").replaceChildren(...cards);
  }

  async function look() {
    let everyS = 2;
    try {
      const after = samples.length ? samples.at(-1).at : 0;
      const answer = await ask(`${page.dataset.url}?after=${after}`);
      if (!answer.ok) throw new Error(`the server answers with status ${answer.status}`);
      latest = await answer.json();
      everyS = latest.every_s;
      samples = [...samples, ...latest.samples].slice(-latest.kept);
      if (latest.queues.length) show();
      const time = new Date().toLocaleTimeString();
      looked.textContent = latest.away ? "Redis does not answer." : `As of ${time}.`;
    } catch (error) {
      looked.textContent = `Could not load the queues: ${error.message}. Retrying.`;
    }
    setTimeout(look, everyS * 1000);
  }

  window.addEventListener("resize", () => latest && samples.length && show());
  look();
}

/** The page of a job: while the job is open, reload the page if its state has changed. */
function jobPage(page) {
  async function look() {
    try {
      const answer = await ask(`${window.location.pathname}?data=1`);
      const found = await answer.json();
      if (found.state !== page.dataset.state) {
        window.location.reload();
        return;
      }
    } catch (error) {
      console.warn(error);
    }
    setTimeout(look, 1000);
  }
  for (const image of page.querySelectorAll("img[data-side]")) {
    const say = () => image.replaceWith(make("p", { class: "no-picture" }, "image not available"));
    if (image.complete && !image.naturalWidth) say();
    else image.addEventListener("error", say);
  }
  if (page.dataset.ended === "no") look();
}

const queues = document.getElementById("queues-page");
if (queues) queuesPage(queues);
const job = document.getElementById("job-page");
if (job) jobPage(job);
