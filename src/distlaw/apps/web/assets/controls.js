// Inputs as the browser's own elements, as components that Dash can hold. See controls.py.
(function () {
  "use strict";
  const { createElement: h, useEffect, useRef, useState } = window.React;
  const PAUSE = 300; // ms of no typing after which a text counts as said
  const DRAG = 120; // ms between two values of a slider that is dragged
  const UNITS = { "": 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9, t: 1e12, p: 1e15 };
  const NUMBER = /^((?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d*)?|\.\d+)(e[+-]?\d{1,4})?\s*([kmbgtp]?)$/i;

  // The same sizes as distlaw.runs.parse_quantity reads; null where it is none.
  function parse(text) {
    const found = NUMBER.exec(String(text).trim());
    if (!found) return null;
    const value = parseFloat(found[1].replace(/[,_]/g, "") + (found[2] || "")) * UNITS[found[3].toLowerCase()];
    return value > 0 && isFinite(value) ? value : null;
  }

  function format(value, digits) {
    const rounded = Number(value.toPrecision(digits));
    if (rounded < 1e15) {
      for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["K", 1e3]])
        if (rounded >= size) return Number((rounded / size).toPrecision(digits)) + unit;
      if (rounded >= 0.01) return String(rounded);
    }
    return rounded.toExponential().replace("+", "");
  }

  // A value that is shown at once and told to the page when it has come to rest.
  function useTold(props, pause) {
    const [shown, show] = useState(props.value);
    const timer = useRef(null);
    const last = useRef(props.value);
    useEffect(() => { if (props.value !== last.current) { last.current = props.value; show(props.value); } }, [props.value]);
    useEffect(() => () => clearTimeout(timer.current), []);
    function tell(value, at) {
      clearTimeout(timer.current);
      const now = () => { timer.current = null; if (value !== last.current) { last.current = value; props.setProps({ value }); } };
      if (at === 0) now(); else timer.current = setTimeout(now, at === undefined ? pause : at);
    }
    return [shown, (value, at) => { show(value); tell(value, at); }, () => tell(shown, 0)];
  }

  function entered(event, settle) {
    if (event.key !== "Enter") return;
    event.preventDefault(); // it says the value; there is no form to send
    settle();
  }

  function field(props, control, extra) {
    return h("div", { className: "field" },
      h("label", { htmlFor: props.id }, props.label),
      control,
      extra || null,
      props.help ? h("p", { id: props.id + "-help", className: "help" }, props.help) : null);
  }

  function common(props) {
    return { id: props.id, "aria-describedby": props.help ? props.id + "-help" : undefined };
  }

  function Text(props) {
    const [shown, set, settle] = useTold(props, PAUSE);
    return field(props, h("input", Object.assign(common(props), {
      type: "text", value: shown ?? "", maxLength: 200, autoComplete: "off", spellCheck: false,
      placeholder: props.placeholder || undefined,
      onChange: (e) => set(e.target.value), onBlur: settle,
      onKeyDown: (e) => entered(e, settle) })));
  }

  function Quantity(props) {
    const [shown, set, settle] = useTold(props, PAUSE);
    const dragged = useRef(0);
    const value = parse(shown);
    const [low, high] = [Math.log10(props.low), Math.log10(props.high)];
    const step = Math.min(0.05, (high - low) / 200); // of 12 % at most, which two digits tell apart
    const at = value === null ? (low + high) / 2 : Math.min(Math.max(Math.log10(value), low), high);
    function drag(e) {
      const text = format(Math.pow(10, parseFloat(e.target.value)), step < 0.05 ? 3 : 2);
      const wait = Math.max(dragged.current + DRAG - performance.now(), 0);
      if (wait === 0) dragged.current = performance.now();
      set(text, wait);
    }
    return field(props,
      h("div", { className: "quantity" },
        h("input", Object.assign(common(props), {
          type: "text", value: shown ?? "", maxLength: 200, autoComplete: "off", spellCheck: false, inputMode: "text",
          "aria-invalid": value === null && !(props.optional && !String(shown ?? "").trim()) ? "true" : undefined,
          onChange: (e) => set(e.target.value), onBlur: settle,
          onKeyDown: (e) => entered(e, settle) })),
        h("input", { id: props.id + "-slider", type: "range", min: low, max: high, step, value: at,
          "aria-label": props.label + ", slider", "aria-valuetext": value === null ? "none" : shown,
          onChange: drag, onPointerUp: settle })));
  }

  function option(one) {
    return h("option", { key: one.value, value: one.value }, one.label);
  }

  // A select cuts what is longer than it is wide; the chosen option then stands below it, whole.
  const LONG = 28; // letters that surely fit
  function Select(props) {
    const all = props.options.flatMap((one) => one.group ? one.options : [one]);
    const chosen = all.find((one) => one.value === props.value);
    const strange = chosen ? null : option({ value: props.value, label: props.value + " (unknown)" });
    const about = chosen && (chosen.about || (chosen.label.length > LONG ? chosen.label : ""));
    return field(props, h("select", Object.assign(common(props), {
      value: props.value, onChange: (e) => props.setProps({ value: e.target.value }) }),
      strange,
      props.options.map((one) => one.group
        ? h("optgroup", { key: one.group, label: one.group }, one.options.map(option)) : option(one))),
      about ? h("p", { className: "help chosen" }, about) : null);
  }

  function Check(props) {
    return h("div", { className: "field check" },
      h("input", Object.assign(common(props), { type: "checkbox", checked: props.value === "yes",
        onChange: (e) => props.setProps({ value: e.target.checked ? "yes" : "" }) })),
      h("label", { htmlFor: props.id }, props.label),
      props.help ? h("p", { id: props.id + "-help", className: "help" }, props.help) : null);
  }

  function Rows(props) {
    const [rows, set, settle] = useTold(props, PAUSE);
    const box = useRef(null);
    const change = (i, j, text) => set(rows.map((row, k) => k === i ? row.map((cell, l) => l === j ? text : cell) : row));
    function add() {
      set(rows.concat([props.columns.map(() => "")]), 0);
      setTimeout(() => { const inputs = box.current.querySelectorAll("tbody tr:last-child input"); if (inputs[0]) inputs[0].focus(); }, 30);
    }
    function remove(i) {
      set(rows.filter((_, k) => k !== i), 0);
      setTimeout(() => box.current.querySelector("button.add").focus(), 30);
    }
    return h("div", { id: props.id, className: "field rows", ref: box, role: "group", "aria-label": props.label },
      rows.length ? h("table", null,
        h("thead", null, h("tr", null, props.columns.map((name) => h("th", { key: name, scope: "col" }, name)), h("td", null))),
        h("tbody", null, rows.map((row, i) => h("tr", { key: i },
          props.columns.map((name, j) => h("td", { key: j }, h("input", {
            type: "text", maxLength: 60, value: row[j] ?? "", autoComplete: "off", spellCheck: false,
            "aria-label": props.thing + " " + (i + 1) + ", " + name,
            onChange: (e) => change(i, j, e.target.value), onBlur: settle }))),
          h("td", null, h("button", { type: "button", className: "quiet", "aria-label": "Remove " + props.thing + " " + (i + 1),
            onClick: () => remove(i) }, "×")))))) : null,
      h("button", { type: "button", className: "quiet add", disabled: rows.length >= props.most, onClick: add }, "Add a " + props.thing));
  }

  function Drop(props) {
    const [over, setOver] = useState(false);
    const [said, say] = useState("");
    function take(file) {
      if (!file) return;
      if (file.size > props.mostBytes) {
        say(file.name + " has " + (file.size / 1e6).toFixed(1) + " MB; at most " + (props.mostBytes / 1e6).toFixed(0) + " MB are read");
        return;
      }
      const reader = new FileReader();
      reader.onload = () => { say(""); props.setProps({ value: { name: file.name, content: String(reader.result).split(",", 2)[1] || "" } }); };
      reader.onerror = () => say(file.name + " cannot be read");
      reader.readAsDataURL(file);
    }
    return h("div", { className: "field drop" + (over ? " over" : ""),
      onDragOver: (e) => { e.preventDefault(); setOver(true); }, onDragLeave: () => setOver(false),
      onDrop: (e) => { e.preventDefault(); setOver(false); take(e.dataTransfer.files[0]); } },
      h("label", { htmlFor: props.id }, props.label),
      h("input", Object.assign(common(props), { type: "file", accept: props.accept,
        onChange: (e) => { take(e.target.files[0]); e.target.value = ""; } })),
      h("p", { id: props.id + "-help", className: "help" }, props.help),
      h("p", { role: "alert", className: "error" }, said));
  }

  function Copy(props) {
    const [said, say] = useState("");
    function copy() {
      const text = props.value || window.location.href;
      const done = () => { say("copied"); setTimeout(() => say(""), 2000); };
      if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => say("select the text and copy it"));
      else say("select the text and copy it");
    }
    return h("span", { className: "copy" },
      h("button", { id: props.id, type: "button", className: "quiet", onClick: copy }, props.label),
      h("span", { role: "status", className: "help" }, said));
  }

  // What is in a cell: its words, and a bar of shares over them. `name` is that of its column, for a narrow page.
  function line(content, name, small) {
    const said = typeof content === "object" && content !== null ? content : { words: content };
    const bar = said.bar ? h("div", { className: "bar", "aria-hidden": "true" }, Object.entries(said.bar).map(([part, share]) =>
      h("span", { key: part, className: "part " + part, style: { width: (100 * share).toFixed(1) + "%" } }))) : null;
    return h("div", { key: name, className: "line" + (small ? " small" : ""), "data-label": name, hidden: said.words === "" && small },
      h("div", null, bar, said.words));
  }

  // A table as one component: a component for each cell would have Dash look at thousands at every change. On a narrow
  // page the rows of a wide, short one stand below each other, each cell with its name; other tables scroll.
  function Table(props) {
    const stacks = props.columns.length > 3 && props.rows.length <= 12;
    const under = (i) => props.columns.map((_, j) => j).filter((j) => props.under[j] === i);
    const shown = props.columns.map((_, i) => i).filter((i) => props.under[i] < 0);
    const head = (i) => h("th", { key: i, scope: "col", role: "columnheader" }, props.columns[i],
      under(i).map((j) => h("div", { key: j, className: "small" }, props.columns[j])));
    const cell = (row, i) => {
      const kind = row[i] && (row[i].kind || (row[i].bar ? "shares" : undefined));
      const lines = [line(row[i], props.columns[i], false), under(i).map((j) => line(row[j], props.columns[j], true))];
      return i === 0 ? h("th", { key: i, scope: "row", role: "rowheader", className: kind }, ...lines)
        : h("td", { key: i, role: "cell", className: kind }, ...lines);
    };
    return h("div", { className: "scroll" + (props.tall ? " tall" : "") + (stacks ? " stacks" : ""),
      tabIndex: 0, role: "region", "aria-label": props.caption },
      h("table", { role: "table" }, h("caption", null, props.caption),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, shown.map(head))),
        h("tbody", { role: "rowgroup" }, props.rows.map((row, i) =>
          h("tr", { key: i, role: "row", className: i === props.marked ? "marked" : undefined }, shown.map((j) => cell(row, j)))))));
  }

  // plotly.js, five megabytes, is fetched at once (see preload in app.py) but run when the first chart is to be seen.
  let plotly = null;
  function loadPlotly() {
    plotly = plotly || new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = document.querySelector("link[rel='preload'][as='script']").href;
      script.onload = () => done(window.Plotly);
      script.onerror = fail;
      document.head.appendChild(script);
    });
    return plotly;
  }

  // A chart that is drawn when it is in view and redrawn when its figure or its room changes.
  function Chart(props) {
    const box = useRef(null);
    const state = useRef({ seen: false, drawn: "", figure: null });
    async function draw() {
      const now = state.current, node = box.current;
      if (!now.seen || !node || (now.drawn === now.figure && now.width === node.clientWidth)) return;
      const figure = now.drawn = now.figure;
      now.width = node.clientWidth;
      if (!figure || !figure.data.length) {
        if (window.Plotly) window.Plotly.purge(node);
        node.style.height = now.height + "px";
        return;
      }
      const Plotly = await loadPlotly();
      if (box.current !== node || figure !== now.figure) return;
      const { data, layout } = window.distlaw_charts.fitted(figure, node.clientWidth, now.height);
      node.style.height = layout.height + "px";
      node.figure = figure; // as it came, for a picture of another width
      Plotly.react(node, data, layout, { displayModeBar: false });
    }
    useEffect(() => { Object.assign(state.current, { figure: props.figure, height: props.height, drawn: "" }); draw(); }, [props.figure, props.height]);
    useEffect(() => {
      const node = box.current;
      const watch = new IntersectionObserver((entries) => {
        state.current.seen = entries[entries.length - 1].isIntersecting;
        draw();
      }, { rootMargin: "100px" });
      let timer = null;
      const room = new ResizeObserver(() => {
        if (node.clientWidth === state.current.width) return;
        clearTimeout(timer);
        timer = setTimeout(draw, 100);
      });
      watch.observe(node);
      room.observe(node);
      return () => { watch.disconnect(); room.disconnect(); clearTimeout(timer); if (window.Plotly) window.Plotly.purge(node); };
    }, []);
    return h("div", { id: props.id, role: "img", "aria-label": props.label },
      h("div", { ref: box, className: "plot", style: { height: props.height } }));
  }

  window.distlaw_controls = { Chart, Table, Text, Quantity, Select, Check, Rows, Drop, Copy };
})();
