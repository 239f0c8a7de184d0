"use strict";

/** Every text of this page; {names} are filled in. */
const Words = {
  ...LiveWords,
  title: "Optimisers on a surface",
  introduction: "All of them start at the same place and get the same noise. The surface is the loss L of "
    + "two weights, w₁ to the right and w₂ upwards; bands of colour are heights, as on a map, and the "
    + "lowest have the colour of the page.",
  surface: "Surface",
  surface_valley: "valley",
  surface_saddle: "saddle",
  surface_bumps: "bumps",
  equation_valley: "L = (u₁² + κ u₂²) / 2,  u = w, turned by an angle",
  equation_saddle: "L = w₁² / 2 − w₂² / 2 + w₂⁴ / 4,  minima at w₂ = ±1",
  equation_bumps: "L = (w₁² + w₂²) / 8 + h (2 − cos 4w₁ − cos 4w₂),  minimum at 0",
  kappa: "condition number κ",
  angle: "angle, degrees",
  bump: "height of the bumps, h",
  noise: "noise of the gradients, σ",
  momentum: "momentum μ, and β₁ of Adam",
  decay: "β of RMSProp, β₂ of Adam",
  all_rates: "one learning rate for all",
  rate_of: "learning rate of {name}",
  optimiser: "optimiser",
  rate: "learning rate η",
  loss: "L − its minimum",
  thrown_out: "thrown out",
  stage: "The surface with the paths. Arrow keys move the start, which is at {x}, {y}.",
  hint: "Click on the surface, or use the arrow keys on it, to start elsewhere.",
  started: "Start at {x}, {y}; L is {loss} above its minimum.",
  after: "Step {step}. Lowest: {name}, {loss} above the minimum.",
  curves_label: "The loss of each optimiser over the steps; the numbers are in the table.",
  axis_loss: "L − its minimum",
  axis_step: "step",
};

const Optimisers = (() => {
  const { element, say } = Dom;
  const { short } = Live;

  // ---- surfaces: loss and gradient at w; `least` is the smallest loss, `half` half the width of the drawing

  const turned = ([a, b], angle) =>
    [Math.cos(angle) * a - Math.sin(angle) * b, Math.sin(angle) * a + Math.cos(angle) * b];
  const radians = ({ angle }) => angle * Math.PI / 180;

  const SURFACES = {
    valley: { // L = (u1^2 + kappa u2^2) / 2, where w is u turned by the angle
      half: 3.6, least: 0,
      start: (s) => turned([-3, 0.8], radians(s)),
      loss(w, s) {
        const [u1, u2] = turned(w, -radians(s));
        return (u1 * u1 + s.kappa * u2 * u2) / 2;
      },
      gradient(w, s) {
        const [u1, u2] = turned(w, -radians(s));
        return turned([u1, s.kappa * u2], radians(s));
      },
    },
    saddle: {
      half: 2.1, least: -0.25,
      start: () => [-1.5, 0.001],
      loss: ([x, y]) => x * x / 2 - y * y / 2 + y ** 4 / 4,
      gradient: ([x, y]) => [x, y ** 3 - y],
    },
    bumps: {
      half: 3.6, least: 0,
      start: () => [-3, 1.9],
      loss: ([x, y], s) => (x * x + y * y) / 8 + s.bump * (2 - Math.cos(4 * x) - Math.cos(4 * y)),
      gradient: (w, s) => w.map((x) => x / 4 + 4 * s.bump * Math.sin(4 * x)),
    },
  };

  // ---- optimisers: the updates of minicnn.optim in the same letters, element by element, in place

  const state = () => ({ t: 0, v: [0, 0], m: [0, 0], cache: [0, 0] });

  const UPDATES = {
    SGD(w, g, s, lr) { // w <- w - lr g
      for (const k of [0, 1]) w[k] -= lr * g[k];
    },
    momentum(w, g, { v }, lr, { mu }) { // v <- mu v + g ;  w <- w - lr v
      for (const k of [0, 1]) {
        v[k] = mu * v[k] + g[k];
        w[k] -= lr * v[k];
      }
    },
    Nesterov(w, g, { v }, lr, { mu }) { // v <- mu v + g ;  w <- w - lr (g + mu v)
      for (const k of [0, 1]) {
        v[k] = mu * v[k] + g[k];
        w[k] -= lr * (g[k] + mu * v[k]);
      }
    },
    AdaGrad(w, g, { cache }, lr) { // cache <- cache + g^2 ;  w <- w - lr g / (sqrt(cache) + eps)
      for (const k of [0, 1]) {
        cache[k] += g[k] * g[k];
        w[k] -= lr * g[k] / (Math.sqrt(cache[k]) + 1e-10);
      }
    },
    // cache <- decay cache + (1 - decay) g^2 ;  w <- w - lr g / (sqrt(cache) + eps)
    RMSProp(w, g, { cache }, lr, { decay }) {
      for (const k of [0, 1]) {
        cache[k] = decay * cache[k] + (1 - decay) * g[k] * g[k];
        w[k] -= lr * g[k] / (Math.sqrt(cache[k]) + 1e-8);
      }
    },
    // m <- beta1 m + (1 - beta1) g ;  v <- beta2 v + (1 - beta2) g^2
    // w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    Adam(w, g, s, lr, { mu: beta1, beta2 }) {
      s.t += 1;
      for (const k of [0, 1]) {
        s.m[k] = beta1 * s.m[k] + (1 - beta1) * g[k];
        s.v[k] = beta2 * s.v[k] + (1 - beta2) * g[k] * g[k];
        w[k] -= lr * (s.m[k] / (1 - beta1 ** s.t)) / (Math.sqrt(s.v[k] / (1 - beta2 ** s.t)) + 1e-8);
      }
    },
  };

  /** The places that an optimiser comes to from w: `noise` gives what is added to a gradient. */
  function descend(name, { surface, rate, steps, settings, start, noise = () => [0, 0] }) {
    const w = [...start], s = state(), path = [[...w]];
    for (let step = 0; step < steps; step++) {
      const g = SURFACES[surface].gradient(w, settings), more = noise();
      UPDATES[name](w, [g[0] + more[0], g[1] + more[1]], s, rate, settings);
      path.push([...w]);
    }
    return path;
  }

  // ---- the page

  const RATES = Live.logarithmic(1e-4, 1);
  const OUTSIDE = 1e6; // whoever is there does not come back
  const NAMES = Object.keys(UPDATES);
  const BEST = { // rates at which all of them get somewhere
    valley: { SGD: 0.03, momentum: 0.01, Nesterov: 0.01, AdaGrad: 0.5, RMSProp: 0.1, Adam: 0.2 },
    saddle: { SGD: 0.1, momentum: 0.05, Nesterov: 0.05, AdaGrad: 0.2, RMSProp: 0.05, Adam: 0.1 },
    bumps: { SGD: 0.05, momentum: 0.03, Nesterov: 0.03, AdaGrad: 0.3, RMSProp: 0.05, Adam: 0.15 },
  };
  const settings = { kappa: 40, angle: 0, bump: 0.15, noise: 0, mu: 0.9, decay: 0.9, beta2: 0.999 };
  let surface = "valley", start = null, step = 0, runners = [], gauss, parts;

  const landscape = () => SURFACES[surface];
  const above = (w) => landscape().loss(w, settings) - landscape().least;

  function build(main) {
    parts = {
      status: element("p", { class: "status" }), equation: element("p", { class: "equation" }),
      stage: new Live.Drawing(drawSurface, (width) => width * 2 / 3, {
        role: "application", tabindex: 0, onclick: (event) => {
          const [x, y] = parts.stage.at(event), { width, canvas } = parts.stage, { half } = landscape();
          restartAt([(2 * x / width - 1) * half, (canvas.clientHeight - 2 * y) / width * half]);
        }, onkeydown: moveStart,
      }),
      curves: new Live.Drawing(drawCurves, (width) => Math.min(Math.max(width * 0.4, 190), 300), {
        "aria-label": say("curves_label"),
      }),
      player: new Live.Player(take, restart, 12),
    };
    runners = NAMES.map(makeRunner);
    main.append(
      element("div", { class: "controls" }, surfaces(), parts.player.element),
      parts.equation, sliders(),
      element("div", { class: "columns halves" },
        element("div", {}, parts.stage.canvas, parts.status, element("p", { class: "quiet" }, say("hint"))),
        element("div", {}, table(), parts.curves.canvas)));
    chooseSurface("valley");
  }

  function makeRunner(name, k) {
    const runner = { name, on: true, rate: 0.01, colour: `c${k}`, sign: Live.MARKS[k], dash: Live.DASHES[k] };
    runner.slider = Live.slider(say("rate_of", { name }), RATES, 0.01, (rate) => { runner.rate = rate; });
    runner.loss = element("td", { class: "value" });
    return runner;
  }

  const surfaces = () => Dom.choice("surface", say("surface"),
    Object.keys(SURFACES).map((name) => [name, say(`surface_${name}`)]), surface, chooseSurface);

  function sliders() {
    const whenChanged = (name) => (value) => { settings[name] = value; restart(); };
    const atOnce = (name) => (value) => { settings[name] = value; };
    const fractions = [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99];
    const squares = [0.5, 0.8, 0.9, 0.95, 0.99, 0.999];
    const made = (name, values, changed) =>
      Live.slider(say(name), values, settings[name], changed(name)).element;
    parts.kappa = made("kappa", [1, 2, 5, 10, 20, 40, 60, 100], whenChanged);
    parts.angle = Live.slider(say("angle"), [0, 15, 30, 45], settings.angle, whenChanged("angle")).element;
    parts.bump = made("bump", [0, 0.05, 0.1, 0.15, 0.2, 0.3], whenChanged);
    return element("div", { class: "sliders three" }, parts.kappa, parts.angle, parts.bump,
      made("noise", [0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5], whenChanged),
      Live.slider(say("momentum"), fractions, settings.mu, atOnce("mu")).element,
      Live.slider(say("decay"), squares, settings.decay,
        (value) => { [settings.decay, settings.beta2] = [value, value]; }).element,
      Live.slider(say("all_rates"), RATES, 0.01, setRates).element);
  }

  function table() {
    const head = ["optimiser", "rate", "loss"].map((name) => element("th", { scope: "col" }, say(name)));
    return element("table", { class: "race" }, element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, runners.map((runner) => element("tr", {},
        element("th", { scope: "row" }, element("label", {},
          element("input", {
            type: "checkbox", checked: true,
            onchange: (event) => { runner.on = event.target.checked; draw(); },
          }),
          element("span", { class: `mark ${runner.colour}`, "aria-hidden": "true" }, runner.sign),
          runner.name)),
        element("td", {}, runner.slider.input, runner.slider.output), runner.loss))));
  }

  function setRates(rate) {
    for (const runner of runners) {
      runner.rate = rate;
      runner.slider.set(rate);
    }
  }

  function chooseSurface(name) {
    [surface, start] = [name, null];
    parts.player.stop();
    parts.equation.textContent = say(`equation_${name}`);
    parts.kappa.hidden = parts.angle.hidden = name !== "valley";
    parts.bump.hidden = name !== "bumps";
    for (const runner of runners) {
      runner.rate = BEST[name][runner.name];
      runner.slider.set(runner.rate);
    }
    restart();
  }

  // ---- the race

  function restart() {
    step = 0;
    gauss = Live.random(1);
    const from = start || landscape().start(settings);
    for (const runner of runners) {
      const fresh = { w: [...from], state: state(), path: [[...from]], losses: [above(from)], out: false };
      Object.assign(runner, fresh);
    }
    parts.stage.canvas.setAttribute("aria-label", say("stage", { x: short(from[0]), y: short(from[1]) }));
    draw();
  }

  function restartAt(w) {
    start = w;
    parts.player.stop();
    restart();
    Dom.announce(parts.status.textContent);
  }

  function moveStart(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const from = start || landscape().start(settings), { half } = landscape(), size = half / 36;
    const inside = (x, most) => Math.min(Math.max(x, -most), most);
    restartAt([inside(from[0] + size * by[0], half), inside(from[1] + size * by[1], half * 2 / 3)]);
  }

  /** One step of all of them: the gradient where each is, and the same noise for all. */
  function take() {
    step += 1;
    const more = [0, 1].map(() => settings.noise * gauss.normal());
    for (const runner of runners) {
      if (runner.out) continue;
      const g = landscape().gradient(runner.w, settings);
      UPDATES[runner.name](runner.w, [g[0] + more[0], g[1] + more[1]], runner.state, runner.rate, settings);
      runner.out = !runner.w.every((x) => Math.abs(x) < OUTSIDE);
      if (runner.out) continue;
      runner.path.push([...runner.w]);
      runner.losses.push(above(runner.w));
    }
    draw();
    if (!parts.player.timer) Dom.announce(parts.status.textContent);
    return step < 2000;
  }

  const last = (list) => list[list.length - 1];

  function draw() {
    for (const { loss, losses, out } of runners) {
      loss.textContent = out ? say("thrown_out") : Dom.number(last(losses));
    }
    const running = runners.filter((runner) => runner.on && !runner.out);
    const best = running.reduce((a, b) => (last(b.losses) < last(a.losses) ? b : a), running[0]);
    if (!step) {
      const [x, y] = runners[0].w;
      parts.status.textContent = say("started", { x: short(x), y: short(y), loss: short(above([x, y])) });
    } else {
      parts.status.textContent = best
        ? say("after", { step, name: best.name, loss: Dom.number(last(best.losses)) }) : "";
    }
    parts.stage.paint();
    parts.curves.paint();
  }

  function drawSurface(context, width, height) {
    const { half } = landscape();
    paintLevels(context, width, height);
    const at = ([x, y]) => [width / 2 * (1 + x / half), height / 2 - width / 2 * y / half];
    for (const runner of runners.filter(({ on }) => on)) {
      Live.line(context, runner.path.map(at), Live.colour(runner.colour), 2, runner.dash);
    }
    Live.mark(context, "+", ...at(runners[0].path[0]), Live.colour("ink"), 18);
    for (const { w, sign, colour } of runners.filter(({ on, out }) => on && !out)) {
      Live.mark(context, sign, ...at(w), Live.colour(colour), 15);
    }
  }

  /** The surface in steps of colour, as the contour lines of a map. */
  function paintLevels(context, width, height) {
    const { half } = landscape();
    const [low, high] = ["level0", "level1"].map((name) => Live.channels(Live.colour(name)));
    const [w, h] = [width, height].map((size) => Math.max(Math.round(size / 2), 1));
    const image = new ImageData(w, h);
    const losses = new Float64Array(w * h);
    for (let r = 0; r < h; r++) {
      for (let c = 0; c < w; c++) {
        losses[r * w + c] = above([(2 * (c + 0.5) / w - 1) * half, (h - 2 * r - 1) / w * half]);
      }
    }
    const most = losses.reduce((a, b) => Math.max(a, b));
    for (let k = 0; k < w * h; k++) {
      const band = Math.floor(Math.sqrt(losses[k] / most) * 12);
      const level = band / 14 + (band % 2) * 0.14; // every other one stands out
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = low[c] + level * (high[c] - low[c]);
      image.data[4 * k + 3] = 255;
    }
    const canvas = element("canvas", { width: w, height: h });
    canvas.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(canvas, 0, 0, width, height);
  }

  function drawCurves(context, width, height) {
    const given = runners.filter(({ on }) => on).map(({ losses, colour, dash, sign }) =>
      ({ values: losses, colour: Live.colour(colour), dash, sign }));
    const words = { ylabel: say("axis_loss"), xlabel: say("axis_step") };
    if (given.length) Live.curves(context, width, height, given, { logarithmic: true, ...words });
  }

  return { SURFACES, UPDATES, descend, build };
})();

Live.start(Optimisers.build);
