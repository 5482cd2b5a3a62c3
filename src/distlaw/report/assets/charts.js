// Gives a figure the room that its words need, at the width that it has: the page and reports draw with it.
// plotly.js cuts an axis title that is longer than its axis, and lets a legend run over what is below it.
(function () {
  "use strict";
  const AXIS = 13, KEY = 11, SWATCH = 44, LINE = 1.3; // font sizes and the width of a legend's sign in pixels; line height
  const BARE = { l: 58, r: 14, t: 12, b: 46 }; // margins without words that wrap
  const pen = document.createElement("canvas").getContext("2d");

  function measure(text, size, family) {
    pen.font = size + "px " + family;
    return pen.measureText(text.replace(/<[^>]*>/g, "").replace(/&[#\w]+;/g, "x")).width;
  }

  // Text in lines that fit into `room` pixels, as few as there can be.
  function wrapped(text, room, size, family) {
    const lines = [];
    for (const word of text.split(/ |<br>/)) {
      const longer = lines.length ? lines[lines.length - 1] + " " + word : word;
      if (lines.length && measure(longer, size, family) <= room) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  }

  // How the legend's entries stand in columns of one width, and how high they are together; `width` is that of the axes,
  // which plotly.js fills, wherever the legend begins.
  function key(figure, width, family) {
    const named = figure.data.concat(figure.layout.shapes || []).filter((one) => one.showlegend && one.name);
    if (!named.length || figure.layout.showlegend === false) return { high: 0, names: new Map() };
    const names = new Map(named.map((one) => [one.name, wrapped(one.name, width - SWATCH, KEY, family)]));
    const widest = Math.ceil(Math.max(...[...names.values()].flat().map((line) => measure(line, KEY, family)))) + 4;
    const columns = Math.max(Math.floor(width / (widest + SWATCH)), 1);
    const heights = [...names.values()].map((lines) => Math.max(lines.length * KEY * LINE, 16) + 3);
    let high = 10; // above and below them
    for (let i = 0; i < heights.length; i += columns) high += Math.max(...heights.slice(i, i + columns));
    return { high, names, widest };
  }

  // About how wide the numbers beside a y-axis are: those of a scale with some six of them.
  function numbers(axis, id, data, family) {
    if (axis.type === "log") return measure("1000", 14, family);
    const values = axis.range || data.filter((one) => (one.yaxis || "y") === id).flatMap((one) => one.y || []).filter((y) => y !== null);
    let low = Infinity, high = -Infinity;
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
    if (!(low < high)) return measure("0.00", 12, family);
    const decimals = Math.max(0, Math.ceil(-Math.log10((high - low) / 6)));
    return Math.max(...[low, high].map((value) => measure((value < 0 ? "−" : "") + Math.abs(value).toFixed(decimals), 12, family)));
  }

  // The figure for a place of some width and height: `{ data, layout }`, what was given left as it was. It is higher
  // than `height` where its legend takes more than a line.
  function fitted(figure, width, height) {
    const data = structuredClone(figure.data), layout = structuredClone(figure.layout);
    const family = (layout.font && layout.font.family) || "sans-serif";
    const bars = Object.entries(layout).filter(([name, one]) => name.startsWith("coloraxis") && one.colorbar).map(([, one]) => one.colorbar);
    const margin = Object.assign({}, BARE), right = 74 * bars.length; // which plotly adds itself
    const ids = Object.keys(layout).filter((name) => name.startsWith("yaxis"));
    const beside = Math.max(0, ...ids.map((name) => numbers(layout[name], name.replace("axis", ""), data, family)));
    const left = margin.l = Math.max(BARE.l, Math.ceil(beside) + 32); // a tick, a gap and a line of the title
    const found = key(figure, width - left - AXIS * LINE - margin.r - right, family);
    const titled = (layout.annotations || []).some((one) => one.yref === "paper" && one.yanchor === "bottom");
    margin.t += found.high + (titled ? 24 : 0);
    layout.height = height + Math.max(found.high - 25, 0);
    layout.width = width;
    layout.margin = margin;
    if (found.high) {
      for (const one of data.concat(layout.shapes || [])) if (found.names.has(one.name)) one.name = found.names.get(one.name).join("<br>");
      layout.legend = Object.assign({}, layout.legend, { orientation: "h", x: 0, xref: "container", xanchor: "left", y: 1, yref: "container",
        yanchor: "top", entrywidth: found.widest, entrywidthmode: "pixels", tracegroupgap: 0, font: { size: KEY } });
    }
    const titles = [];
    for (const [name, axis] of Object.entries(layout)) {
      const which = /^([xy])axis/.exec(name);
      if (!which) continue;
      axis.automargin = false; // margins that follow labels and legend at once may never come to rest
      if (axis.title && axis.title.text) titles.push([which[1], axis]);
    }
    const across = width - margin.l - margin.r - right;
    for (const [which, axis] of titles.sort()) { // those below first: they take from the height of the others
      const share = axis.domain ? axis.domain[1] - axis.domain[0] : 1;
      const room = share * (which === "x" ? across : layout.height - margin.t - margin.b);
      const lines = wrapped(axis.title.text, room, AXIS, family);
      axis.title = Object.assign({}, axis.title, { text: lines.join("<br>"), font: { size: AXIS } });
      const more = Math.ceil((lines.length - 1) * AXIS * LINE);
      if (which === "x") margin.b = Math.max(margin.b, BARE.b + more);
      else margin.l = Math.max(margin.l, left + more);
    }
    for (const bar of bars) {
      const lines = wrapped(bar.title.text, layout.height - margin.t - margin.b, AXIS, family);
      bar.title = Object.assign({}, bar.title, { text: lines.join("<br>"), font: { size: AXIS } });
    }
    return { data, layout };
  }

  window.distlaw_charts = { fitted };
})();
