/* The network of Fig. 2, learning in the page: y = W h, h = W0 x, in Float64, as fa_core.linear has it.

Matrices are arrays of rows. `TryIt.Network` knows the mathematics and nothing of the page; the rest is the page. */
"use strict";

const TryIt = (() => {
  const zeros = (rows, columns) => Array.from({ length: rows }, () => new Float64Array(columns));
  const times = (M, v) => M.map((row) => row.reduce((sum, m, i) => sum + m * v[i], 0));
  const transposed = (M) => Array.from(M[0], (_, j) => Float64Array.from(M, (row) => row[j]));
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const norm = (a) => Math.sqrt(dot(a, a));

  /* Degrees between two vectors, signed: 0 to 180; NaN where one of them is 0. */
  function angle(a, b) {
    const cosine = dot(a, b) / (norm(a) * norm(b));
    return Math.acos(Math.min(1, Math.max(-1, cosine))) * 180 / Math.PI;
  }

  class Network {
    /* T (n_o x n_i), W0 (n_h x n_i), W (n_o x n_h), B (n_h x n_o). */
    constructor(T, W0, W, B) {
      [this.T, this.W0, this.W, this.B] = [T, W0, W, B].map((M) => M.map((row) => Float64Array.from(row)));
    }

    /* e = T x - W W0 x, and h = W0 x. */
    error(x) {
      const h = times(this.W0, x);
      const y = times(this.W, h);
      return [times(this.T, x).map((target, k) => target - y[k]), h];
    }

    /* The teaching signal of the hidden layer: W'e, Be, or nothing. */
    signal(rule, e) {
      if (rule === "backprop") return times(transposed(this.W), e);
      return rule === "feedback alignment" ? times(this.B, e) : new Array(this.B.length).fill(0);
    }

    /* One example: dW = rate e h', dW0 = rate delta x'. */
    learn(x, rule, rate) {
      const [e, h] = this.error(x);
      const delta = this.signal(rule, e);
      this.W.forEach((row, k) => h.forEach((value, j) => { row[j] += rate * e[k] * value; }));
      this.W0.forEach((row, j) => x.forEach((value, i) => { row[i] += rate * delta[j] * value; }));
    }

    /* Normalised squared error for x ~ N(0, I): |T - W W0|^2 / |T|^2. */
    nse() {
      let missed = 0, all = 0;
      const columns = transposed(this.W0);
      this.T.forEach((row, k) => row.forEach((target, i) => {
        missed += (target - dot(this.W[k], columns[i])) ** 2;
        all += target ** 2;
      }));
      return missed / all;
    }

    /* Means over some inputs: the angle between Be and W'e in degrees, and the share with e'WBe > 0. */
    alignment(inputs) {
      const back = transposed(this.W);
      let degrees = 0, positive = 0;
      for (const x of inputs) {
        const e = this.error(x)[0];
        const [ours, backprops] = [times(this.B, e), times(back, e)];
        degrees += angle(ours, backprops);
        positive += dot(ours, backprops) > 0;
      }
      return { angle: degrees / inputs.length, positive: positive / inputs.length };
    }
  }

  /* ---- what is drawn: a generator of numbers on [0, 1) from a seed (mulberry32), and normal ones (Box and Muller) */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6D2B79F5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  const normal = (draw) => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  const uniform = (draw, rows, columns, scale) => zeros(rows, columns).map((row) => row.map(() => scale * (2 * draw() - 1)));
  const input = (draw) => Float64Array.from({ length: INPUTS }, () => normal(draw));

  const INPUTS = 30, OUTPUTS = 10, PROBES = 200, EVERY = 10, MOST = 20000;

  /* ---- the page */
  /* A number as one writes it: 1, 0.53, 0.001, 3.2 × 10⁻⁵. */
  function written(value) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "not defined" : "∞";
    const two = Number(value.toPrecision(2));
    if (two === 0 || (two >= 0.001 && two < 10000)) return String(two);
    const [digits, power] = two.toExponential().split("e");
    const raised = [...power.replace("+", "")].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
    return `${digits === "1" ? "" : `${digits} × `}10${raised}`;
  }

  function start(root) {
    const find = (name) => root.querySelector(`[name=${name}]`);
    const number = (name) => Number(find(name).value);
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    let seed = 1, run, before = null, playing = false;

    function begin() {
      const hidden = number("hidden"), draws = (purpose) => generator(seed * 7919 + purpose);
      const network = new Network(
        uniform(draws(1), OUTPUTS, INPUTS, 1), uniform(draws(2), hidden, INPUTS, number("init")),
        uniform(draws(3), OUTPUTS, hidden, number("init")), uniform(draws(4), hidden, OUTPUTS, number("feedback")));
      const probes = draws(5);
      run = { network, fixed: network.B, examples: draws(6), redrawn: draws(7), seen: 0, curve: [],
              inputs: Array.from({ length: PROBES }, () => input(probes)) };
      applyBreak();
      measure();
      draw();
    }

    /* What is done to B: a copy, so that the fixed one is there again when it is taken back. */
    function applyBreak() {
      const factor = { zero: 0, turned: -1 }[find("broken").value] ?? 1;
      run.network.B = run.fixed.map((row) => row.map((b) => factor * b));
    }

    function measure() {
      const found = run.network.alignment(run.inputs);
      run.curve.push({ seen: run.seen, nse: run.network.nse(), angle: found.angle, positive: found.positive });
    }

    function advance(examples) {
      const [rule, rate] = [find("rule").value, number("rate")];
      for (let n = 0; n < examples && run.seen < MOST; n++) {
        if (find("broken").value === "redrawn") {
          run.network.B = uniform(run.redrawn, run.fixed.length, OUTPUTS, number("feedback"));
        }
        run.network.learn(input(run.examples), rule, rate);
        run.seen += 1;
        if (run.seen % EVERY === 0) measure();
        if (!Number.isFinite(run.network.W[0][0]) || Math.abs(run.network.W[0][0]) > 1e6) {
          root.querySelector("[data-said]").textContent =
            `The network diverged at example ${run.seen}: choose a smaller learning rate, and restart.`;
          return false;
        }
      }
      return run.seen < MOST;
    }

    /* ---- drawing, in the colours of the page as they are now */
    const ink = () => getComputedStyle(root).color;
    const colour = (rule) => ({ "feedback alignment": "#009E73", shallow: "#999999" })[rule] ?? ink();

    function canvas(name) {
      const element = root.querySelector(`canvas[data-shows=${name}]`);
      const [width, height] = [element.clientWidth, element.clientHeight], dense = window.devicePixelRatio || 1;
      element.width = width * dense;
      element.height = height * dense;
      const pen = element.getContext("2d");
      pen.scale(dense, dense);
      pen.font = "13px sans-serif";
      return [pen, width, height];
    }

    function axes(name, ticks, place, text) {
      const [pen, width, height] = canvas(name), left = 48, bottom = 24;
      const last = Math.max(200, run.curve.at(-1).seen, before ? before.curve.at(-1).seen : 0);
      const x = (seen) => left + (width - left - 10) * seen / last;
      const y = (value) => 8 + (height - bottom - 8) * (1 - place(value));
      pen.fillStyle = pen.strokeStyle = ink();
      pen.textAlign = "right";
      ticks.forEach((tick) => {
        pen.globalAlpha = 1;
        pen.fillText(text(tick), left - 6, y(tick) + 4);
        pen.globalAlpha = 0.2;
        pen.fillRect(left, y(tick), width - left - 10, 1);
      });
      pen.globalAlpha = 1;
      pen.textAlign = "center";
      [0, 0.5, 1].forEach((share) => pen.fillText(Math.round(share * last), Math.min(x(share * last), width - 22), height - 6));
      return { pen, x, y };
    }

    function line({ pen, x, y }, curve, what, style, width) {
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.beginPath();
      curve.filter((point) => Number.isFinite(y(point[what]))).forEach((point, i) =>
        pen[i ? "lineTo" : "moveTo"](x(point.seen), y(point[what])));
      pen.stroke();
    }

    const LOWEST = 1e-6;
    const inLog = (value) => value < LOWEST ? NaN : Math.min(1.05, 1 + Math.log10(value) / 6);

    function curves() {
      const shown = [[axes("error", [1, 1e-2, 1e-4, 1e-6], inLog, written), "nse"],
                     [axes("angle", [0, 45, 90, 135, 180], (v) => v / 180, (t) => `${t}°`), "angle"]];
      for (const [frame, what] of shown) {
        if (before) {
          frame.pen.globalAlpha = 0.35;
          line(frame, before.curve, what, colour(before.rule), 2);
          frame.pen.globalAlpha = 1;
        }
        line(frame, run.curve, what, colour(find("rule").value), 2.5);
      }
    }

    /* W and B' side by side: orange for positive, blue for negative, each on its own scale. */
    function matrix(name, M) {
      const [pen, width, height] = canvas(name), most = Math.max(1e-12, ...M.map((row) => Math.max(...row.map(Math.abs))));
      M.forEach((row, k) => row.forEach((value, j) => {
        pen.globalAlpha = Math.abs(value) / most;
        pen.fillStyle = value > 0 ? "#D55E00" : "#0072B2";
        pen.fillRect(j * width / row.length, k * height / M.length, width / row.length, height / M.length);
      }));
      pen.globalAlpha = 0.4;
      pen.strokeStyle = ink();
      pen.strokeRect(0, 0, width, height);
    }

    function draw() {
      curves();
      matrix("W", run.network.W);
      matrix("B", transposed(run.network.B));
      const now = run.curve.at(-1);
      const degrees = Number.isFinite(now.angle) ? `${now.angle.toFixed(0)}°` : "not defined";
      root.querySelector("[data-seen]").textContent = run.seen;
      root.querySelector("[data-nse]").textContent = written(now.nse);
      root.querySelector("[data-angle]").textContent = degrees;
      root.querySelector("[data-positive]").textContent = `${Math.round(100 * now.positive)} %`;
    }

    function say() {
      const now = run.curve.at(-1);
      root.querySelector("[data-said]").textContent =
        `After ${run.seen} examples by ${find("rule").value}: error ${written(now.nse)}, angle ` +
        (Number.isFinite(now.angle) ? `${now.angle.toFixed(0)} degrees.` : "not defined, for there is no signal.");
    }

    function play(on) {
      playing = on;
      find("play").textContent = on ? "Pause" : "Start";
      if (!on) say();
    }

    function frame() {
      if (!playing) return;
      const goesOn = advance(still ? 500 : number("speed"));
      draw();
      if (!goesOn) {
        const said = root.querySelector("[data-said]").textContent;
        play(false);
        if (said.includes("diverged")) root.querySelector("[data-said]").textContent = said;
        return;
      }
      // Who asked for less motion sees a new state once a second.
      if (still) setTimeout(frame, 1000); else requestAnimationFrame(frame);
    }

    function restart(next) {
      play(false);
      if (run.seen) before = { curve: run.curve, rule: run.rule ?? find("rule").value };
      seed = next;
      begin();
      run.rule = find("rule").value;
      root.querySelector("[data-said]").textContent = `Seed ${seed}, before learning.`;
    }

    find("play").addEventListener("click", () => {
      play(!playing);
      if (playing) { root.querySelector("[data-said]").textContent = ""; frame(); }
    });
    find("step").addEventListener("click", () => { play(false); if (advance(100) || run.seen >= MOST) say(); draw(); });
    find("restart").addEventListener("click", () => restart(seed));
    find("another").addEventListener("click", () => restart(seed + 1));
    for (const name of ["hidden", "init", "feedback", "rule"]) find(name).addEventListener("change", () => restart(seed));
    find("broken").addEventListener("change", () => { applyBreak(); measure(); draw(); say(); });
    for (const output of root.querySelectorAll("output[for]")) {
      const slider = root.querySelector(`#${output.getAttribute("for")}`);
      const show = () => { output.textContent = slider.value; };
      slider.addEventListener("input", show);
      show();
    }
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    window.addEventListener("resize", draw);
    begin();
    run.rule = find("rule").value;
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".try-it").forEach(start));
  return { Network, angle, written };
})();
