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

const PAPER = 680; // pixels of the width of A4 within its margins

function draw(chart, wide) {
  seen.add(chart);
  const chosen = JSON.parse(document.getElementById(chart.id + "-figure").textContent);
  let figure = chosen.figure;
  if (dark.matches) figure = over(figure, chosen.dark);
  if (narrow.matches) figure = over(figure, chosen.narrow);
  const { data, layout } = window.distlaw_charts.fitted(figure, typeof wide === "number" ? wide : chart.clientWidth, figure.layout.height - 60);
  chart.style.height = `${layout.height}px`;
  Plotly.react(chart, data, layout, { ...chosen.config, responsive: false });
}

const watcher = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    watcher.unobserve(target);
    draw(target);
  }),
  { rootMargin: "600px" },
);
charts.forEach((chart) => watcher.observe(chart));
for (const query of [dark, narrow]) query.addEventListener("change", () => seen.forEach((chart) => draw(chart)));
let resting = null;
addEventListener("resize", () => {
  clearTimeout(resting);
  resting = setTimeout(() => seen.forEach((chart) => draw(chart)), 150);
});
addEventListener("beforeprint", () => charts.forEach((chart) => draw(chart, PAPER)));
addEventListener("afterprint", () => seen.forEach((chart) => draw(chart)));
