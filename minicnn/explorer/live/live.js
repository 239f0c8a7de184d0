"use strict";

/** Texts that all live pages have; each page adds its own to them, as `Words`. */
const LiveWords = {
  language: "en",
  play: "Play",
  pause: "Pause",
  step: "Step",
  reset: "Start again",
  scale_grey: "black to white",
  scale_diverging: "blue below zero, white zero, orange above",
};

/** What the live pages share: sliders, play and step, drawings with axes and marks, random numbers. */
const Live = (() => {
  const { element, say, number } = Dom;
  const MARKS = ["●", "■", "▲", "◆", "✚", "✖"];
  const DASHES = [[], [8, 3], [2, 3], [8, 3, 2, 3], [5, 5], [12, 4]];
  const drawings = [];

  /** A colour of the style sheet, as it is in light or dark. */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

  /** Up to three significant digits, without zeros behind them. */
  function short(x) {
    const isPlain = x === 0 || Math.abs(x) >= 1e-4 && Math.abs(x) < 1e5;
    return isPlain ? String(Number(x.toPrecision(3))).replace("-", "−") : number(x);
  }

  /** A slider over a list of numbers, with its label and its value; `change` gets the number. */
  function slider(label, values, chosen, change, text = short) {
    const distance = (k, x) => Math.abs(values[k] - x);
    const nearest = (x) => values.reduce((best, _, k) => (distance(k, x) < distance(best, x) ? k : best), 0);
    const output = element("output", { "aria-hidden": "true" });
    const input = element("input", {
      type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": label,
      oninput: () => { show(); change(values[input.value]); },
    });
    function show() {
      output.textContent = text(values[input.value]);
      input.setAttribute("aria-valuetext", output.textContent);
    }
    function set(x) {
      input.value = nearest(x);
      show();
    }
    set(chosen);
    const row = element("label", { class: "slider" }, element("span", {}, label), input, output);
    return { element: row, input, output, set };
  }

  const whole = (from, to) => Array.from({ length: to - from + 1 }, (_, k) => from + k);

  /** 1, 2, 3, 5, 7 and 10 times powers of ten, between two of them. */
  function logarithmic(from, to) {
    const made = [];
    for (let power = Math.round(Math.log10(from)); power < Math.round(Math.log10(to)); power++) {
      for (const digit of [1, 1.5, 2, 3, 5, 7]) made.push(Number(`${digit}e${power}`));
    }
    return [...made, to];
  }

  /**
   * Buttons that play, do a single step, and start again.
   * `step` returns false at the end. Nothing plays by itself.
   */
  class Player {
    constructor(step, reset, perSecond) {
      this.timer = null;
      this.take = step;
      this.wait = 1000 / perSecond;
      const button = (name, onclick) => element("button", { class: "small", onclick }, say(name));
      this.play = button("play", () => (this.timer ? this.stop() : this.start()));
      this.element = element("span", { class: "steps" }, this.play,
        button("step", () => { this.stop(); step(); }), button("reset", () => { this.stop(); reset(); }));
    }

    start() {
      this.play.textContent = say("pause");
      this.timer = setInterval(() => { if (this.take() === false) this.stop(); }, this.wait);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.play.textContent = say("play");
    }
  }

  /**
   * A canvas as wide as there is room, in the pixels of the screen;
   * `draw(context, width, height)` in CSS pixels.
   */
  class Drawing {
    constructor(draw, heightOf, attributes = {}) {
      [this.draw, this.heightOf] = [draw, heightOf];
      this.canvas = element("canvas", { role: "img", class: "drawing", ...attributes });
      const fit = () => { if (this.canvas.clientWidth !== this.width) this.paint(); };
      new ResizeObserver(() => requestAnimationFrame(fit)).observe(this.canvas);
      drawings.push(this);
    }

    paint() {
      this.width = this.canvas.clientWidth;
      if (!this.width) return;
      const height = Math.round(this.heightOf(this.width)), scale = window.devicePixelRatio || 1;
      this.canvas.style.height = `${height}px`;
      [this.canvas.width, this.canvas.height] = [Math.round(this.width * scale), Math.round(height * scale)];
      const context = this.canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      this.draw(context, this.width, height);
    }

    /** Where the pointer is, in the CSS pixels that `draw` draws in. */
    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }
  }

  function repaint() {
    for (const drawing of drawings) drawing.paint();
  }

  function start(build) {
    document.title = say("title");
    document.getElementById("title").textContent = say("title");
    document.getElementById("introduction").textContent = say("introduction");
    build(document.getElementById("main"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    repaint();
    document.documentElement.dataset.ready = "yes";
  }

  // ---- drawing

  /** #rgb or #rrggbb as three numbers. */
  function channels(text) {
    const digits = text.trim().slice(1), n = digits.length / 3;
    return [0, 1, 2].map((k) => parseInt(digits.slice(k * n, (k + 1) * n).repeat(n === 1 ? 2 : 1), 16));
  }

  function line(context, points, stroke, width = 1.5, dash = []) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    context.setLineDash([]);
  }

  /** A character, with a border in the colour of the paper around it. */
  function mark(context, sign, x, y, fill, size = 16) {
    context.font = `${size}px sans-serif`;
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    context.strokeStyle = colour("paper");
    context.lineWidth = 3;
    context.strokeText(sign, x, y);
    context.fillStyle = fill;
    context.fillText(sign, x, y);
  }

  /** About four round numbers between two. */
  function ticks(low, high) {
    const rough = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((digit) => digit * power >= rough);
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) => (first + k) * step);
  }

  /**
   * Curves over the steps 0, 1, ...: [{values, colour, dash, sign}],
   * in axes with numbers; the end of each has its sign.
   */
  function curves(context, width, height, given, { xlabel, ylabel, logarithmic: isLog = false }) {
    const [left, right, top, bottom] = [52, 16, 22, 34];
    // a run that is thrown out leaves the axes
    const most = 100 * Math.max(...given.map(({ values }) => values[0]));
    const level = (v) => (isLog ? Math.log10(Math.max(Math.min(v, most), 1e-10)) : Math.min(v, most));
    const ranges = given.map(({ values }) => Paint.range(values));
    const least = Math.min(...ranges.map((range) => range[0]));
    const highest = Math.max(...ranges.map((range) => range[1]));
    const low = isLog ? Math.floor(Math.min(level(least), -2)) : 0;
    const high = isLog ? Math.ceil(level(highest)) : level(highest);
    const steps = Math.max(...given.map(({ values }) => values.length - 1), 10);
    const x = (step) => left + (width - left - right) * step / steps;
    const y = (up) => top + (height - top - bottom) * (high - up) / (high - low || 1);
    context.font = "12px system-ui, sans-serif";
    [context.fillStyle, context.textBaseline, context.textAlign] = [colour("quiet"), "middle", "right"];
    for (const tick of ticks(low, high).filter((t) => !isLog || Number.isInteger(t))) {
      line(context, [[left, y(tick)], [width - right, y(tick)]], colour("line"), 1);
      context.fillText(isLog ? powerOfTen(tick) : short(tick), left - 6, y(tick));
    }
    context.textAlign = "center";
    for (const tick of ticks(0, steps)) context.fillText(short(tick), x(tick), height - bottom + 12);
    context.fillText(xlabel, (left + width - right) / 2, height - 7);
    context.textAlign = "left";
    context.fillText(ylabel, 4, 9);
    for (const { values, colour: stroke, dash, sign } of given) {
      const points = thinned(values, width).map((k) => [x(k), y(level(values[k]))]);
      line(context, points, stroke, 2, dash);
      if (sign) mark(context, sign, ...points[points.length - 1], stroke, 13);
    }
  }

  /** 0.01, 1, 100, and 10⁻⁴ beyond a thousand or a thousandth. */
  function powerOfTen(k) {
    if (Math.abs(k) <= 3) return String(Number(`1e${k}`));
    return `10${[...String(k)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("")}`;
  }

  /** Indices of a long list, no more than there are pixels, with the last one. */
  function thinned(values, most) {
    const by = Math.max(1, Math.ceil(values.length / most)), kept = [];
    for (let k = 0; k < values.length - 1; k += by) kept.push(k);
    return [...kept, values.length - 1];
  }

  // ---- random numbers, the same from the same seed

  /**
   * mulberry32, of Tommy Ettinger: numbers between 0 and 1.
   * `normal` makes two of them one with mean 0 and variance 1.
   */
  function random(seed) {
    let a = seed >>> 0;
    function uniform() {
      a = (a + 0x6D2B79F5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }
    // Box and Muller
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }

  return { MARKS, DASHES, colour, channels, short, slider, whole, logarithmic,
    Player, Drawing, start, line, mark, curves, random };
})();
