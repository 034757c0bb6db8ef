"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const form = byId("controls");
  const BEGIN = { turn: -0.85, tilt: 0.46 }; // radians about the vertical, and above the plane
  const INK = "#222222";
  const finger = window.matchMedia("(pointer: coarse)").matches; // no room for a label beside it: spikes, and the line below
  const narrow = window.matchMedia("(max-width: 480px)");
  let eye = BEGIN;
  let point = null; // indices of alpha and beta that the lines of numbers tell of

  const number = (value, digits = 3) => {
    if (typeof value === "string") return value; // nan, inf, -inf
    const text = Number(value.toPrecision(digits));
    return (Math.abs(text) >= 1e5 || (text !== 0 && Math.abs(text) < 1e-3) ? text.toExponential() : String(text)).replace("-", "\u2212");
  };
  const camera = () => {
    const [flat, high] = [2.65 * Math.cos(eye.tilt), 2.65 * Math.sin(eye.tilt)];
    return { eye: { x: flat * Math.cos(eye.turn), y: flat * Math.sin(eye.turn), z: high },
      center: { x: 0, y: 0, z: -0.2 }, up: { x: 0, y: 0, z: 1 } };
  };
  const finite = (value) => typeof value === "number";
  const quantity = (key) => data.quantities.find((q) => q.key === key);
  const state = () => ({
    key: form.elements.height.value,
    view: form.elements.view.value,
    log: form.elements.log.checked,
    relief: form.elements.relief.checked,
    plane: Number(form.elements.plane.value || 0),
  });
  const slice = (network, now) => network.planes[Math.min(now.plane, network.planes.length - 1)];

  const zero = (axis) => axis.findIndex((v) => Math.abs(v) < 1e-9);
  // what is taken off all heights: the one at the centre; null where there is none
  function base(network, now) {
    if (!now.relief) return 0;
    const row = slice(network, now)[now.key][zero(network.beta)];
    const value = row && row[zero(network.alpha)];
    return finite(value) ? value : null;
  }

  // what can be drawn: null leaves a hole, and is counted
  function drawn(network, now) {
    const off = base(network, now);
    const height = (value) => (!finite(value) || off === null ? null : value - off);
    return slice(network, now)[now.key].map((row) => row.map(height).map((h) =>
      (h === null || !now.log ? h : h > 0 ? Math.log10(h) : null)));
  }

  function told(q, values, j, i) {
    const value = values[q.key][j][i];
    const error = q.se && values[q.se] ? values[q.se][j][i] : null;
    const doubt = finite(error) ? `\u00a0\u00b1\u00a0${number(error, 2)}` : "";
    return number(value) + doubt + (q.units === "1" ? "" : `\u00a0${q.units}`);
  }

  function scaleOf(now) {
    const all = data.networks.flatMap((network) => drawn(network, now).flat()).filter((v) => v !== null);
    if (!all.length) return { low: 0, high: 1, ticks: [] };
    let low = Infinity;
    let high = -Infinity;
    for (const value of all) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low === high) { low -= 0.5; high += 0.5; }
    return { low, high, ticks: ticksOf(low, high, now.log) };
  }

  function ticksOf(low, high, log) {
    const found = [];
    if (log) {
      const decades = high - low;
      const mantissas = decades > 7 ? [1] : decades > 4 ? [1, 3] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
      for (let e = Math.floor(low); e <= Math.ceil(high); e++)
        for (const m of mantissas) {
          const at = e + Math.log10(m);
          if (at >= low - 1e-9 && at <= high + 1e-9) found.push({ at, text: number(m * 10 ** e) });
        }
      if (found.length > 1) return found;
      return [low, high].map((at) => ({ at, text: number(10 ** at) }));
    }
    const rough = (high - low) / 6;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 2.5, 5, 10].find((m) => m * unit >= rough);
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
      found.push({ at: k * step, text: number(k * step, 6) });
    return found;
  }

  function traces(network, now, scale) {
    const z = drawn(network, now);
    const q = quantity(now.key);
    const values = slice(network, now);
    const text = z.map((row, j) => row.map((_, i) =>
      `${q.name} ${told(q, values, j, i)}<br>\u03b1 ${number(network.alpha[i])}, \u03b2 ${number(network.beta[j])}`));
    const shared = { x: network.alpha, y: network.beta, z, text, hoverinfo: finger ? "none" : "text", colorscale: "Viridis", showscale: false };
    const [i, j] = [zero(network.alpha), zero(network.beta)];
    const centre = i >= 0 && j >= 0 && z[j][i] !== null;
    const mark = { mode: "markers", hoverinfo: "skip", showlegend: false, x: centre ? [0] : [], y: centre ? [0] : [] };
    const line = { color: INK, width: 1.5 };
    if (now.view === "contour") {
      const shade = { ...shared, type: "contour", zmin: scale.low, zmax: scale.high, autocontour: false, connectgaps: false };
      return [
        { ...shade, line: { width: 0 }, contours: { start: scale.low, end: scale.high, size: scale.high - scale.low, coloring: "heatmap" } },
        ...scale.ticks.map(({ at }) => ({ ...shade, hoverinfo: "skip",
          line: { color: "rgba(255,255,255,.8)", width: 1, smoothing: 0 },
          contours: { start: at, end: at, size: 1, coloring: "none" } })),
        { ...mark, type: "scatter", marker: { color: "#fff", size: 8, line } },
      ];
    }
    const grid = { show: true, color: "rgba(0,0,0,.22)", width: 1 };
    const lines = (axis) => ({ ...grid, highlight: false, start: axis[0], end: axis[axis.length - 1],
      size: (axis[axis.length - 1] - axis[0]) / Math.min(20, axis.length - 1) });
    return [
      { ...shared, type: "surface", cmin: scale.low, cmax: scale.high, connectgaps: false, hoverlabel: { bgcolor: "#fff" },
        lighting: { ambient: 0.9, diffuse: 0.18, specular: 0, roughness: 1, fresnel: 0 },
        contours: { x: lines(network.alpha), y: lines(network.beta), z: { highlight: false } } },
      { ...mark, type: "scatter3d", z: centre ? [z[j][i]] : [], marker: { color: "#fff", size: 4, line } },
    ];
  }

  function layout(now, scale) {
    const size = narrow.matches ? 11 : 12;
    const font = { size, color: INK, family: "system-ui, Helvetica, Arial, sans-serif" };
    const common = { font, margin: { l: 0, r: 0, t: 0, b: 0 }, hoverlabel: { align: "left", font, bgcolor: "#fff", bordercolor: "#666" },
      paper_bgcolor: "#fff", plot_bgcolor: "#fff", showlegend: false };
    const [alpha, beta] = data.spans;
    if (now.view === "contour") {
      const axis = { zeroline: false, ticks: "outside", nticks: 6, fixedrange: true };
      return { ...common, margin: { l: 52, r: 12, t: 8, b: 44 }, dragmode: false,
        xaxis: { ...axis, title: { text: data.alpha, standoff: 6 }, range: alpha, constrain: "domain" },
        yaxis: { ...axis, title: { text: data.beta, standoff: 4 }, range: beta, scaleanchor: "x", constrain: "domain" } };
    }
    const longest = Math.max(alpha[1] - alpha[0], beta[1] - beta[0]);
    const axis = { backgroundcolor: "#fff", showbackground: true, gridcolor: "#ddd", zeroline: false, nticks: 5,
      showspikes: finger, spikesides: false, spikecolor: INK, spikethickness: 2 };
    const pad = 0.02 * (scale.high - scale.low);
    const every = Math.ceil(scale.ticks.length / 6);
    const ticks = scale.ticks.filter((_, k) => k % every === 0);
    return { ...common, dragmode: false,
      scene: { camera: camera(), aspectmode: "manual", dragmode: false,
        aspectratio: { x: (alpha[1] - alpha[0]) / longest, y: (beta[1] - beta[0]) / longest, z: 0.75 },
        xaxis: { ...axis, title: { text: data.alpha }, range: alpha },
        yaxis: { ...axis, title: { text: data.beta }, range: beta },
        zaxis: { ...axis, title: { text: now.relief ? quantity(now.key).axis.replace(/^[^[]*/, "\u0394 ") : quantity(now.key).axis }, range: [scale.low - pad, scale.high + pad],
          tickvals: ticks.map((t) => t.at), ticktext: ticks.map((t) => t.text) } } };
  }

  function legend(now, scale) {
    const q = quantity(now.key);
    const lines = now.view === "contour" ? "; lines at the marks" : "";
    byId("caption").textContent = `${q.label}${now.relief ? ", minus that of the centre" : ""}${now.log ? ", log scale" : ""}; one scale for all networks${lines}`;
    const box = byId("ticks");
    box.replaceChildren();
    let last = -1;
    const room = 34 / Math.max(box.clientWidth, 1);
    for (const tick of scale.ticks) {
      const share = (tick.at - scale.low) / (scale.high - scale.low);
      const span = document.createElement("span");
      span.style.left = `${100 * share}%`;
      if (share - last >= room) {
        last = share;
        span.textContent = tick.text;
      }
      box.append(span);
    }
  }

  function numbers(panel, network, now) {
    const values = slice(network, now);
    const near = (axis, at) => axis.reduce((best, v, k) => (Math.abs(v - at) < Math.abs(axis[best] - at) ? k : best), 0);
    const centred = point === null;
    const i = centred ? zero(network.alpha) : near(network.alpha, point.x);
    const j = centred ? zero(network.beta) : near(network.beta, point.y);
    const line = panel.querySelector(".point");
    line.replaceChildren();
    if (i >= 0 && j >= 0) {
      const where = document.createElement("b");
      where.textContent = centred ? "At the centre: " : `At \u03b1 = ${number(network.alpha[i])}, \u03b2 = ${number(network.beta[j])}: `;
      line.append(where, data.quantities.map((q) => `${q.name} ${told(q, values, j, i)}`).join(" \u00b7 "));
    }
    const every = values[now.key].flat();
    const lost = every.filter((v) => !finite(v)).length;
    const off = base(network, now);
    const low = now.log && off !== null ? every.filter((v) => finite(v) && v <= off).length : 0;
    const text = [];
    if (off === null) text.push("no finite value at the centre, so nothing is drawn minus it");
    if (lost) text.push(`${lost} of ${every.length} points are not finite and left out`);
    if (low) text.push(`${low} of ${every.length} points are not positive and left out of the log scale`);
    panel.querySelector(".lost").textContent = text.join("; ");
    panel.querySelector(".note").textContent = values.note;
  }

  const charts = () => data.networks.map((_, k) => byId(`surface-${k}`));

  function draw() {
    const now = state();
    const scale = scaleOf(now);
    legend(now, scale);
    data.networks.forEach((network, k) => {
      const chart = byId(`surface-${k}`);
      const fresh = chart.dataset.view !== now.view;
      if (fresh && chart.dataset.view) Plotly.purge(chart);
      chart.dataset.view = now.view;
      Plotly.react(chart, traces(network, now, scale), layout(now, scale), { displayModeBar: false, responsive: true, scrollZoom: false });
      if (fresh) listen(chart);
      numbers(chart.parentElement, network, now);
    });
  }

  function listen(chart) {
    const show = (event) => {
      const at = event.points[0];
      if (at.x === undefined) return;
      point = { x: at.x, y: at.y };
      charts().forEach((each, k) => numbers(each.parentElement, data.networks[k], state()));
    };
    chart.on("plotly_hover", show);
    chart.on("plotly_click", show);
  }

  // All surfaces turn together. A finger turns them sideways; up and down it scrolls the page.
  let waiting = false;
  function turn(sideways, up) {
    eye = { turn: eye.turn - sideways, tilt: Math.min(1.5, Math.max(-0.2, eye.tilt + up)) };
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (state().view === "3d") for (const chart of charts()) Plotly.relayout(chart, { "scene.camera": camera() });
    });
  }

  function handle(chart) {
    for (const name of ["touchstart", "touchmove"]) // of the library, which would keep the page from scrolling
      chart.addEventListener(name, (event) => event.stopPropagation(), { capture: true, passive: true });
    chart.addEventListener("pointerdown", (start) => {
      if (state().view !== "3d" || start.button !== 0) return;
      let { clientX: x, clientY: y } = start;
      const move = (event) => {
        if (event.pointerId !== start.pointerId) return;
        turn((event.clientX - x) / 120, start.pointerType === "mouse" ? (event.clientY - y) / 120 : 0);
        ({ clientX: x, clientY: y } = event);
      };
      const end = () => {
        window.removeEventListener("pointermove", move);
        for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, end);
      };
      window.addEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, end);
    });
    chart.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!way || state().view !== "3d") return;
      event.preventDefault();
      turn(...way);
    });
  }

  function ramp() {
    const paint = byId("ramp").getContext("2d");
    const shade = paint.createLinearGradient(0, 0, 256, 0);
    data.colours.forEach((colour, k) => shade.addColorStop(k / (data.colours.length - 1), colour));
    paint.fillStyle = shade;
    paint.fillRect(0, 0, 256, 1);
  }

  function build() {
    for (const q of data.quantities) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "height", value: q.key });
      const span = document.createElement("span");
      span.textContent = q.name;
      label.append(input, span);
      byId("heights").append(label);
    }
    form.elements.height.value = data.quantity;
    form.elements.relief.checked = data.relief;
    const most = Math.max(...data.networks.map((n) => n.planes.length));
    for (let k = 0; k < most; k++) form.elements.plane.append(new Option(`${k + 1} of ${most}`, k));
    byId("planes").hidden = most < 2;
    form.elements.log.checked = data.log;
    const gl = document.createElement("canvas");
    const solid = Boolean(gl.getContext("webgl") || gl.getContext("experimental-webgl"));
    form.elements.view.value = solid ? data.view : "contour";
    if (!solid) byId("views").querySelector("input").disabled = true;
    const panels = byId("panels");
    panels.classList.add(["", "one", "two"][data.networks.length] || "many");
    data.networks.forEach((network, k) => {
      const panel = document.createElement("section");
      panel.innerHTML = `<h2><i></i><span></span></h2><div class="chart" id="surface-${k}" tabindex="0"></div>` +
        '<p class="point" aria-live="polite"></p><p class="note"></p><p class="note lost"></p>';
      panel.querySelector("i").style.background = network.colour;
      panel.querySelector("h2 span").textContent = network.name;
      panels.append(panel);
      byId(`surface-${k}`).setAttribute("aria-label", `Loss surface of ${network.name}; arrow keys turn it`);
      handle(byId(`surface-${k}`));
    });
    ramp();
    form.addEventListener("change", (event) => {
      const { key, relief } = state();
      if (["height", "relief"].includes(event.target.name)) form.elements.log.checked = quantity(key).log && !relief;
      draw();
    });
    byId("reset").addEventListener("click", () => {
      eye = BEGIN;
      point = null;
      draw();
      turn(0, 0);
    });
    window.addEventListener("resize", () => legend(state(), scaleOf(state())));
    draw();
  }

  build();
})();
