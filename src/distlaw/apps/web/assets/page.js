// What the page does by itself: light and dark, the address, pictures of charts.
(function () {
  "use strict";
  const REST = 600; // ms
  let latest = null, giveUp = () => {};
  const root = document.documentElement;
  const kept = () => { try { return window.localStorage.getItem("distlaw-theme"); } catch { return null; } };
  const preferred = () => window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = kept() || preferred();

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.distlaw = {
    // How the page looks: the theme as kept or preferred at first, then turned by the button; and whether it is narrow.
    theme(clicks) {
      if (clicks) {
        root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
        try { window.localStorage.setItem("distlaw-theme", root.dataset.theme); } catch { /* no storage: for this page only */ }
      }
      const button = document.getElementById("theme-button");
      if (button) button.textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
      return root.dataset.theme + (window.innerWidth < 700 ? " narrow" : "");
    },
    unanswered: (asked) => !(asked && asked.ok),
    // The question once it has rested for a while: what takes long is not asked for while a slider is dragged.
    rested(asked) {
      latest = asked;
      return new Promise((say) => setTimeout(() => say(latest === asked ? asked : window.dash_clientside.no_update), REST));
    },
    // The same once its part of the page comes near: what nobody looks at is not worked out.
    seen(asked) {
      const part = document.getElementById("plan-reasons-part");
      giveUp();
      if (!part) return window.dash_clientside.no_update;
      return new Promise((say) => {
        const watch = new IntersectionObserver((entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          watch.disconnect();
          say(asked);
        }, { rootMargin: "200px" });
        watch.observe(part);
        giveUp = () => { watch.disconnect(); say(window.dash_clientside.no_update); };
      });
    },
    // The question that is shown stands in the address, and in the tab's link for when one comes back to it.
    address(asked, href) {
      const path = href.split("?", 1)[0];
      const to = path + (asked && asked.query ? "?" + asked.query : "");
      const here = window.location.pathname;
      if (asked && (here === path || here === path.replace(/plan$/, "")))
        window.history.replaceState(window.history.state, "", to);
      return to;
    },
  };

  // PNG buttons: plotly draws the picture here, on the page's own background.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[id$='-png']");
    const graph = button && document.querySelector("#" + CSS.escape(button.id.slice(0, -4)) + " .js-plotly-plot");
    if (!graph || !window.Plotly) return;
    const background = getComputedStyle(root).getPropertyValue("--card").trim();
    const box = graph.getBoundingClientRect();
    const width = Math.max(Math.round(box.width), 640), height = Math.max(Math.round(box.height), 360);
    const { data, layout } = window.distlaw_charts.fitted(graph.figure, width, height);
    layout.paper_bgcolor = background;
    window.Plotly.downloadImage({ data, layout }, { format: "png", scale: 2, width, height: layout.height, filename: button.id.slice(0, -4) });
  });
})();
