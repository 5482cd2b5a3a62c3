// Draws each chart when it comes near the window, and again when the window turns narrow or the page dark.
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 45rem)");
const charts = [...document.querySelectorAll(".chart")];
const seen = new Set();

// Lays what is different over a figure: lists by position, null for nothing.
function over(base, top) {
  if (top === null || top === undefined) return base;
  if (typeof top !== "object" || typeof base !== "object" || base === null) return top;
  if (Array.isArray(top)) return top.map((part, i) => over(base[i], part));
  const changed = Object.entries(top).map(([key, part]) => [key, over(base[key], part)]);
  return { ...base, ...Object.fromEntries(changed) };
}

function draw(chart) {
  seen.add(chart);
  const chosen = JSON.parse(document.getElementById(chart.id + "-figure").textContent);
  let figure = chosen.figure;
  if (dark.matches) figure = over(figure, chosen.dark);
  if (narrow.matches) figure = over(figure, chosen.narrow);
  chart.style.height = `${figure.layout.height}px`;
  Plotly.react(chart, figure.data, figure.layout, chosen.config);
}

const watcher = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    watcher.unobserve(target);
    draw(target);
  }),
  { rootMargin: "600px" },
);
charts.forEach((chart) => watcher.observe(chart));
for (const query of [dark, narrow]) query.addEventListener("change", () => seen.forEach(draw));
addEventListener("beforeprint", () => charts.filter((chart) => !seen.has(chart)).forEach(draw));
