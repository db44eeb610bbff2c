"use strict";

/* The tables of one queue: its levels, and its tenants. */

/** How long a job that is sent now would wait, or why nobody can tell. */
function predictionText({ no_prediction: why }, seconds) {
  return seconds === null && why === "no worker" ? why : duration(seconds);
}

function levelTable(queue, names, recent) {
  const head = ["level", "waiting", "oldest wait", "predicted wait", "weight"].map((text) =>
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
      make("td", { class: "predicted" }, predictionText(queue, each.predicted_wait_s)),
      make("td", { class: "weight" }, weight(each.head_log_weight)),
    );
    body.append(row);
  }
  if (!body.children.length) {
    body.append(make("tr", {}, make("td", { colspan: 5, class: "nothing" }, "No waiting jobs.")));
  }
  const table = make("table", { class: "level-table table table-sm align-middle mb-0" });
  table.append(make("thead", {}, make("tr", {}, ...head)), body);
  return table;
}

/** A tenant's limits in words. They hold for all queues together. */
function limitsText({ max_running: most, rate_per_s: rate }) {
  const texts = [];
  if (most) texts.push(`${count(most)} running`);
  if (rate) {
    const [unit, times] = [["s", 1], ["m", 60], ["h", 3600]].find(([, each]) => rate * each >= 1)
      ?? ["h", 3600];
    texts.push(`${Number((rate * times).toPrecision(4))}/${unit}`);
  }
  return texts.join(", ") || "–";
}

function tenantRow(name, cells, attributes) {
  const row = make("tr", attributes);
  row.append(make("th", { scope: "row" }, name));
  for (const [kind, text] of Object.entries(cells)) row.append(make("td", { class: kind }, text));
  return row;
}

/** The largest tenants of a queue, and the others together. Null if no tenant has jobs. */
function tenantTable(queue) {
  const { tenants, other_tenants: others } = queue;
  if (!tenants.length) return null;
  const head = ["tenant", "weight", "limits", "waiting", "running", "share", "oldest wait", "predicted wait"].map((text) =>
    make("th", { scope: "col" }, text));
  const body = make("tbody");
  for (const each of tenants) {
    body.append(tenantRow(each.tenant, {
      weight: String(each.weight),
      limits: limitsText(each),
      waiting: count(each.waiting),
      running: count(each.running),
      share: `${Math.round(100 * each.share)} %`,
      oldest: duration(each.oldest_wait_s),
      predicted: predictionText(queue, each.predicted_wait_s),
    }, { "data-tenant": each.tenant }));
  }
  if (others.waiting || others.running) {
    body.append(tenantRow("all others", {
      weight: "",
      limits: "",
      waiting: count(others.waiting),
      running: count(others.running),
      share: "",
      oldest: "",
      predicted: "",
    }, { class: "other-tenants" }));
  }
  const table = make("table", { class: "level-table tenant-table table table-sm align-middle mb-0" });
  table.append(make("thead", {}, make("tr", {}, ...head)), body);
  return table;
}
