"use strict";

/* Elements of a page, and numbers as texts. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. Strings are inserted as text, never as markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

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

/** A weight, always as a power of e: 1 is the weight of a job that has just come at level 0. */
function weight(log) {
  if (log === null || log === undefined) return "–";
  const power = Number(log.toFixed(1)); // -0.04 is e^0.0
  return `e^${power.toFixed(1).replace("-", "−")}`;
}

const count = (number) => number.toLocaleString("en");
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

function levelName(names, level) {
  return names[level] ? `${level} ${names[level]}` : String(level);
}
