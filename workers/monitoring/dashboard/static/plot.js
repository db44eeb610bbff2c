"use strict";

/* The stacked area plot of the waiting jobs of one queue. */

const LEVELS = 10;
const PLOT = { height: 220, left: 64, right: 12, top: 10, bottom: 24 };

/** The ticks of an axis from 0 to a number of jobs or a little more: 1, 2, 5, 10, 20 … apart. */
function ticksTo(most) {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  const step = Math.max(1, [1, 2, 5, 10].map((each) => each * power).find((each) => most <= 5 * each));
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, number) => number * step);
}

const MINUTE_S = 60;
const HOUR_S = 3600;
const SPANS_S = [MINUTE_S, 2 * MINUTE_S, 3 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 20 * MINUTE_S, 30 * MINUTE_S,
  HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 8 * HOUR_S, 12 * HOUR_S, 24 * HOUR_S];

/** The time to draw, in seconds: as little as shows all samples, and at most the window. */
function fittingSpan(spanS, windowS) {
  return SPANS_S.find((each) => each >= spanS && each <= windowS) ?? windowS;
}

/** The distance of the labels of time, in seconds. */
function timeStep(windowS) {
  return [15, 30, MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S,
    HOUR_S, 2 * HOUR_S, 4 * HOUR_S].find((each) => windowS <= 6 * each);
}

function timeLabel(agoS) {
  if (agoS === 0) return "now";
  if (agoS % MINUTE_S) return `−${agoS} s`;
  return agoS % HOUR_S ? `−${agoS / MINUTE_S} min` : `−${agoS / HOUR_S} h`;
}

/** Draw the stacked area plot of one queue, with the most urgent level at the bottom. */
function stackedPlot(samples, queue, names, windowS) {
  const width = Math.max(320, document.getElementById("queues").clientWidth - 34);
  const { height, left, right, top, bottom } = PLOT;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img" });
  svg.setAttribute("aria-label", `Jobs waiting in ${queue} over time, by level`);
  const now = samples.at(-1).at;
  const ticks = ticksTo(Math.max(1, ...samples.map((each) => sum(each.waiting[queue]))));
  const most = ticks.at(-1);
  const x = (at) => left + (1 - (now - at) / windowS) * (width - left - right);
  const y = (value) => top + (1 - value / most) * (height - top - bottom);
  drawAxes(svg, { width, height, x, y, ticks, now, windowS });
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

function drawAxes(svg, { width, height, x, y, ticks, now, windowS }) {
  for (const value of ticks) {
    svg.append(draw("line", {
      x1: PLOT.left, x2: width - PLOT.right, y1: y(value), y2: y(value), class: "grid",
    }));
    const label = draw("text", { x: PLOT.left - 8, y: y(value) + 4, class: "tick tick-y" });
    label.textContent = count(value);
    svg.append(label);
  }
  for (let ago = 0; ago <= windowS; ago += timeStep(windowS)) {
    const label = draw("text", { x: x(now - ago), y: height - 6, class: "tick" });
    if (ago === 0) label.setAttribute("class", "tick tick-now");
    label.textContent = timeLabel(ago);
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
