// What a browser measures of a page: each function gives what is wrong, nothing where nothing is. See test_looks.py.
({
  // Elements that are narrower than what is in them and do not scroll; choices that are longer than their field.
  cut() {
    const wide = (one) => one.scrollWidth > one.clientWidth + 1;
    const name = (one) => (one.id || one.className || one.tagName) + ": " + one.textContent.slice(0, 60);
    const bad = [];
    const scrolls = (one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX);
    for (const one of document.querySelectorAll("main *")) {
      if (!one.offsetParent || one.closest(".js-plotly-plot, option, select")) continue;
      if (wide(one) && !scrolls(one) && getComputedStyle(one).display !== "inline") bad.push("cut " + name(one));
      if (one.clientWidth && scrolls(one) && wide(one) && one.tabIndex < 0 && !one.querySelector("[tabindex]"))
        bad.push("scrolls, but not by keyboard " + name(one));
    }
    const pen = document.createElement("canvas").getContext("2d");
    for (const one of document.querySelectorAll("main select, main input[type='text']")) {
      if (!one.offsetParent) continue;
      const style = getComputedStyle(one), select = one.tagName === "SELECT";
      pen.font = style.font;
      const text = select ? (one.selectedOptions[0] || { textContent: "" }).textContent : one.value;
      const below = [...one.parentElement.querySelectorAll(".chosen")].map((said) => said.textContent);
      const room = one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - (select ? 20 : 0);
      if (pen.measureText(text).width > room && !below.includes(text)) bad.push("cut choice " + text);
    }
    return bad;
  },

  // Tables, by their captions, of which one sees only a part.
  parts(titles) { return [...document.querySelectorAll(".scroll")]
    .filter((one) => titles.includes(one.getAttribute("aria-label")) && one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.getAttribute("aria-label") + ": " + one.scrollWidth + " in " + one.clientWidth); },

  // Words of charts that leave the drawing or lie on others.
  charts() {
    const bad = [], box = (one) => one.getBoundingClientRect();
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    for (const graph of document.querySelectorAll(".js-plotly-plot")) {
      const name = (graph.parentElement.id || graph.parentElement.getAttribute("aria-label") || graph.id) + ": ";
      const drawing = box(graph.querySelector(".main-svg"));
      const words = [...graph.querySelectorAll(
        ".xtick text, .ytick text, .g-xtitle text, .g-ytitle text, [class*='xtitle'], [class*='ytitle'], .legendtext, .annotation-text")]
        .filter((one) => one.tagName === "text" && one.textContent.trim() && box(one).width > 0);
      for (const one of words) {
        const at = box(one);
        if (at.left < drawing.left - 1 || at.right > drawing.right + 1 || at.top < drawing.top - 1 || at.bottom > drawing.bottom + 1)
          bad.push(name + "cut '" + one.textContent + "'");
      }
      const legend = [...graph.querySelectorAll(".legendtext")];
      const others = words.filter((one) => !legend.includes(one));
      const axes = [...graph.querySelectorAll(".plot")].map((one) => one.parentElement).filter((one) => box(one).width > 0);
      for (const one of legend) {
        for (const other of others) if (meet(box(one), box(other))) bad.push(name + "'" + one.textContent + "' over '" + other.textContent + "'");
        for (const [i, other] of legend.entries())
          if (other !== one && i > legend.indexOf(one) && meet(box(one), box(other)))
            bad.push(name + "'" + one.textContent + "' over '" + other.textContent + "'");
        for (const plot of graph.querySelectorAll(".gridlayer")) if (box(plot).width && meet(box(one), box(plot))) bad.push(name + "'" + one.textContent + "' over the axes");
      }
      const titles = others.filter((one) => /title/.test(one.getAttribute("class") || ""));
      for (const one of titles)
        for (const other of others)
          if (other !== one && meet(box(one), box(other))) bad.push(name + "'" + one.textContent + "' over '" + other.textContent + "'");
    }
    return bad;
  },

  // Lines and markers that are hard to see, and what has two colours.
  colours() {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const parts = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); return pen.getImageData(0, 0, 1, 1).data; };
    const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
    const ground = parts(getComputedStyle(document.querySelector(".card")).backgroundColor);
    const contrast = (colour) => { const [a, b] = [light(parts(colour)), light(ground)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
    const bad = [];
    for (const graph of document.querySelectorAll(".js-plotly-plot")) {
      const name = (graph.parentElement.id || graph.id) + ": ";
      const map = graph.querySelector(".contourlayer path") !== null; // on which the card is not the ground
      const one = new Map();
      for (const trace of graph._fullData) {
        const marker = trace.marker && /markers/.test(trace.mode || "") ? trace.marker.line.color : null;
        const line = /lines/.test(trace.mode || "") ? trace.line.color : null;
        for (const colour of [marker, line]) {
          if (typeof colour !== "string" || map) continue;
          if (contrast(colour) < 3) bad.push(name + trace.name + " " + colour + " " + contrast(colour).toFixed(2));
          if (trace.name && trace.showlegend) one.set(trace.name, (one.get(trace.name) || new Set()).add(colour));
        }
      }
      for (const [name_, colours] of one) if (colours.size > 1) bad.push(name + name_ + " has " + colours.size + " colours");
    }
    const part = (which) => getComputedStyle(document.documentElement).getPropertyValue("--" + which).trim().toLowerCase();
    const spending = document.querySelector("#plan-spending .js-plotly-plot");
    const names = { "student training": "student", "teacher logits": "logits", "teacher training": "teacher", "student serving": "serving" };
    for (const trace of spending ? spending._fullData : [])
      if (trace.fillcolor.toLowerCase() !== part(names[trace.name])) bad.push(trace.name + " is " + trace.fillcolor + " and " + part(names[trace.name]));
    return bad;
  },
})
