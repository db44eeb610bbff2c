"use strict";

/** Fetch a path of this server. Relative paths fail if the page's address contains a password. */
const ask = (path) => fetch(new URL(path, window.location.origin), { cache: "no-store" });

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
    facts.push(`${count(Math.round(queue.climbs_per_minute))} climbs/min`);
  } else if (busy) {
    facts.push("levels are strict");
  }
  const card = make("section", { class: "detail-card queue", "data-queue": queue.queue });
  card.append(make("header", {}, make("h2", {}, queue.queue), make("p", {}, facts.join(" · "))));
  if (busy && known.length > 1) card.append(stackedPlot(known, queue.queue, names, windowS));
  const tables = make("div", { class: "tables" });
  if (busy) tables.append(levelTable(queue, names, recent));
  const tenants = tenantTable(queue);
  if (tenants) tables.append(tenants);
  card.append(tables);
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
  const choices = [...page.querySelectorAll("[data-window]")];
  let chosen = choices.find((each) => window.location.hash === each.hash) ?? choices[0];
  let samples = [];
  let endedAt = 0;
  let latest = null;
  let timer = null;

  function show() {
    const windowS = fittingSpan(samples.at(-1).at - samples[0].at, latest.window_s);
    const state = { samples, names: latest.levels, windowS };
    document.getElementById("tiles").replaceChildren(...tiles(latest));
    const cards = latest.queues.map((queue) => queueCard(queue, state));
    document.getElementById("queues").replaceChildren(...cards);
  }

  async function look() {
    let everyS = 2;
    const asked = chosen;
    try {
      const query = `?after=${endedAt}&window=${asked.dataset.window}`;
      const answer = await ask(page.dataset.url + query);
      if (!answer.ok) throw new Error(`the server answers with status ${answer.status}`);
      const found = await answer.json();
      if (asked !== chosen) return;
      latest = found;
      everyS = latest.every_s;
      const all = [...samples.filter((each) => each.at <= endedAt), ...latest.samples];
      samples = all.filter((each) => each.at >= all.at(-1).at - latest.window_s);
      endedAt = latest.ended_at;
      if (latest.queues.length) show();
      const time = new Date().toLocaleTimeString();
      looked.textContent = latest.away ? "Redis does not answer." : `As of ${time}.`;
    } catch (error) {
      looked.textContent = `Could not load the queues: ${error.message}. Retrying.`;
    }
    if (asked === chosen) timer = setTimeout(look, everyS * 1000);
  }

  /** Show another window. Its samples come with the next look. */
  function choose(choice) {
    clearTimeout(timer);
    chosen = choice;
    samples = [];
    endedAt = 0;
    for (const each of choices) {
      each.classList.toggle("active", each === choice);
      if (each === choice) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    }
    look();
  }

  for (const each of choices) each.addEventListener("click", () => choose(each));
  window.addEventListener("resize", () => latest && samples.length && show());
  choose(chosen);
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
