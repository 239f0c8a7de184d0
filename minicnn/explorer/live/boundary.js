"use strict";

/** Every text of this page; {names} are filled in. */
const Words = {
  ...LiveWords,
  title: "A two-layer network learns a boundary",
  introduction: "Points of two classes, ● and ■. The network gets the two numbers of a point and says how "
    + "probable ■ is; the thick line is where it says one half. Plain gradient descent, all points in each "
    + "step.",
  data: "Points",
  data_clouds: "two clouds",
  data_xor: "XOR",
  data_ring: "a ring",
  data_moons: "two moons",
  data_spirals: "two spirals",
  data_none: "none: your own",
  add_as: "New points are",
  class_0: "●",
  class_1: "■",
  remove: "Remove what you added",
  hint: "Click, or use the arrow keys and Enter, to add points. Dashed: the line at which a hidden unit is "
    + "at zero.",
  hidden: "hidden units H",
  activation: "Activation f",
  activation_ReLU: "ReLU",
  activation_tanh: "tanh",
  activation_sigmoid: "sigmoid",
  activation_none: "none",
  rate: "learning rate η",
  decay: "weight decay λ",
  lines: "lines of the hidden units",
  equation: "z = W₁ x + b₁,  a = f(z),  s = w₂ · a + b₂\np = 1 / (1 + exp(−s))\n"
    + "L = mean of −log p(right class) + λ/2 (Σ W₁² + Σ w₂²)\nw ← w − η dL/dw",
  status: "Step {step}. Loss {loss}; {right} of {all} points on their side.",
  status_empty: "There are no points. Add some of both classes.",
  thrown_out: "The loss is not finite any more: the learning rate is too high. Start again with a lower one.",
  stage: "The points and the boundary. Arrow keys move a cross, Enter adds a point there.",
  placed: "{class} added at {x}, {y}. {all} points.",
  cross: "{x}, {y}: the network says ■ with {p}",
  curve_label: "The loss over the steps",
  axis_loss: "loss L",
  axis_step: "step",
};

const Boundary = (() => {
  const { element, say } = Dom;
  const { short } = Live;

  // ---- the network. A point is [x1, x2, class]; weights are w1 (H, 2), b1 (H,), w2 (H,), b2 (1,).

  // f(z), and its slope from z and a = f(z)
  const ACTIVATIONS = {
    ReLU: [(z) => Math.max(z, 0), (z) => (z > 0 ? 1 : 0)],
    tanh: [Math.tanh, (z, a) => 1 - a * a],
    sigmoid: [(z) => 1 / (1 + Math.exp(-z)), (z, a) => a * (1 - a)],
    none: [(z) => z, () => 1],
  };

  /** Weights of variance 2 / fan_in for ReLU, 1 / fan_in for the others; biases of 0. */
  function initial(H, activation, gauss) {
    const factor = activation === "ReLU" ? 2 : 1;
    const draw = (n, fanIn) => Array.from({ length: n }, () => gauss.normal() * Math.sqrt(factor / fanIn));
    return { w1: draw(2 * H, 2), b1: new Array(H).fill(0), w2: draw(H, H), b2: [0] };
  }

  /** z = W1 x + b1;  a = f(z);  s = w2 . a + b2 */
  function forward({ w1, b1, w2, b2 }, [x1, x2], activation) {
    const [f] = ACTIVATIONS[activation];
    const z = b1.map((b, h) => w1[2 * h] * x1 + w1[2 * h + 1] * x2 + b), a = z.map(f);
    return { z, a, s: a.reduce((sum, value, h) => sum + w2[h] * value, b2[0]) };
  }

  const probability = (s) => 1 / (1 + Math.exp(-s));
  const squares = (w) => w.reduce((sum, value) => sum + value * value, 0);

  /**
   * L = (1/N) sum of log(1 + exp(s)) - t s  +  wd/2 (|w1|^2 + |w2|^2), for classes t = 0, 1.
   * Its gradients, and how many are right.
   */
  function lossAndGradients(weights, points, activation, wd) {
    const { w1, w2 } = weights, slope = ACTIVATIONS[activation][1], N = points.length;
    const d = { w1: w1.map((w) => wd * w), b1: w2.map(() => 0), w2: w2.map((w) => wd * w), b2: [0] };
    let loss = wd / 2 * (squares(w1) + squares(w2)), right = 0;
    for (const point of points) {
      const [x1, x2, t] = point, { z, a, s } = forward(weights, point, activation);
      loss += (Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s))) - t * s) / N;
      right += (s > 0) === (t === 1);
      const ds = (probability(s) - t) / N; // what is, minus what should be
      d.b2[0] += ds;
      for (let h = 0; h < w2.length; h++) {
        d.w2[h] += ds * a[h];
        const dz = ds * w2[h] * slope(z[h], a[h]);
        d.w1[2 * h] += dz * x1;
        d.w1[2 * h + 1] += dz * x2;
        d.b1[h] += dz;
      }
    }
    return { loss, gradients: d, right };
  }

  /** w <- w - lr dw, in place. */
  function descend(weights, gradients, lr) {
    for (const name of Object.keys(weights)) {
      gradients[name].forEach((g, k) => { weights[name][k] -= lr * g; });
    }
  }

  // ---- the points

  const HALF = 3; // what is drawn goes from -3 to 3

  const DATA = { // two numbers between 0 and 1 and a normal one make a point of class t
    clouds: (t, u, v, noise) => [(t ? 1 : -1) + 0.6 * noise(), (t ? 0.8 : -0.8) + 0.6 * noise()],
    xor(t, u, v) {
      const side = v < 0.5 ? 1 : -1;
      return [(0.25 + 2 * u) * side, (0.25 + 2 * (v * 2 % 1)) * (t ? side : -side)];
    },
    ring: (t, u, v, noise) => polar(t ? 2 + 0.25 * noise() : 1.1 * Math.sqrt(u), 2 * Math.PI * v),
    moons(t, u, v, noise) {
      const [x, y] = polar(1.5, Math.PI * (t ? u : u + 1)), by = t ? -0.75 : 0.75;
      return [x + by + 0.15 * noise(), y + by / 3 + 0.15 * noise()];
    },
    spirals(t, u, v, noise) {
      const along = Math.sqrt(u);
      return polar(0.3 + 2.3 * along + 0.05 * noise(), 2.2 * Math.PI * along + (t ? Math.PI : 0));
    },
  };
  const polar = (r, angle) => [r * Math.cos(angle), r * Math.sin(angle)];

  function pointsOf(name, n = 160) {
    if (name === "none") return [];
    const { uniform, normal } = Live.random(7);
    return Array.from({ length: n }, (_, k) => [...DATA[name](k % 2, uniform(), uniform(), normal), k % 2]);
  }

  // ---- the page

  const AT_ONCE = 10; // steps from one drawing to the next, while it plays
  const settings = { hidden: 8, activation: "ReLU", rate: 0.3, wd: 0 };
  let given = pointsOf("ring"), added = [], seed = 0, step = 0, kind = 1, cross = [0, 0], withLines = true;
  let weights, losses, state, parts;

  const points = () => [...given, ...added];

  function build(main) {
    parts = {
      stage: new Live.Drawing(drawStage, (width) => width, {
        role: "application", tabindex: 0, "aria-label": say("stage"), onclick: clicked, onkeydown: typed,
        onfocus: () => parts.stage.paint(), onblur: () => parts.stage.paint(),
      }),
      curve: new Live.Drawing(drawCurve, (width) => Math.min(Math.max(width * 0.5, 180), 280), {
        "aria-label": say("curve_label"),
      }),
      status: element("p", { class: "status" }), player: new Live.Player(take, restart, 25),
    };
    main.append(
      element("div", { class: "columns halves" },
        element("div", {}, dataControls(), parts.stage.canvas,
          element("p", { class: "quiet" }, say("hint")), pointControls()),
        element("div", {}, element("div", { class: "controls" }, parts.player.element),
          parts.status, sliders(), parts.curve.canvas,
          element("p", { class: "equation" }, say("equation")))));
    restart();
  }

  function dataControls() {
    const names = [...Object.keys(DATA), "none"], options = names.map((name, k) => [k, say(`data_${name}`)]);
    return element("div", { class: "controls" },
      Dom.select(say("data"), options, names.indexOf("ring"), (k) => {
        [given, added] = [pointsOf(names[k]), []];
        parts.player.stop();
        restart();
      }));
  }

  function pointControls() {
    return element("div", { class: "controls" },
      Dom.choice("kind", say("add_as"), ["0", "1"].map((t) => [t, say(`class_${t}`)]), "1",
        (t) => { kind = Number(t); }),
      element("button", { class: "small", onclick: () => { added = []; measure(); draw(); } }, say("remove")),
      element("label", {}, element("input", {
        type: "checkbox", checked: true, onchange: (event) => { withLines = event.target.checked; draw(); },
      }), say("lines")));
  }

  function sliders() {
    const names = Object.keys(ACTIVATIONS), options = names.map((name, k) => [k, say(`activation_${name}`)]);
    const anew = (name) => (value) => { settings[name] = value; restart(); };
    return element("div", {},
      Dom.select(say("activation"), options, 0, (k) => anew("activation")(names[k])),
      element("div", { class: "sliders" },
        Live.slider(say("hidden"), Live.whole(1, 16), settings.hidden, anew("hidden")).element,
        Live.slider(say("rate"), Live.logarithmic(0.01, 10), settings.rate,
          (value) => { settings.rate = value; }).element,
        Live.slider(say("decay"), [0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1], settings.wd,
          (value) => { settings.wd = value; }).element));
  }

  // ---- training

  /** New weights. */
  function restart() {
    seed += 1;
    step = 0;
    weights = initial(settings.hidden, settings.activation, Live.random(seed));
    losses = [];
    measure();
    if (state) losses.push(state.loss);
    draw();
  }

  /** Loss and gradients at the weights as they are. */
  function measure() {
    const all = points();
    state = all.length ? lossAndGradients(weights, all, settings.activation, settings.wd) : null;
  }

  function take() {
    const isPlaying = Boolean(parts.player.timer);
    for (let k = 0; k < (isPlaying ? AT_ONCE : 1) && state && Number.isFinite(state.loss); k++) {
      measure(); // points and settings may have changed
      descend(weights, state.gradients, settings.rate);
      measure();
      step += 1;
      losses.push(state.loss);
    }
    draw();
    if (!isPlaying) Dom.announce(parts.status.textContent);
    return state !== null && Number.isFinite(state.loss);
  }

  // ---- adding points

  const inside = (v) => Math.min(Math.max(v, -HALF), HALF);

  function add(at) {
    added.push([...at, kind]);
    measure();
    if (!losses.length) losses.push(state.loss);
    draw();
    const [x, y] = at.map(short);
    Dom.announce(say("placed", { class: say(`class_${kind}`), x, y, all: points().length }));
  }

  function clicked(event) {
    const [x, y] = parts.stage.at(event), { width } = parts.stage;
    add(cross = [inside((2 * x / width - 1) * HALF), inside((1 - 2 * y / width) * HALF)]);
  }

  function typed(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (by) {
      cross = cross.map((v, k) => inside(v + 0.15 * by[k]));
      const p = probability(forward(weights, cross, settings.activation).s);
      Dom.announce(say("cross", { x: short(cross[0]), y: short(cross[1]), p: Dom.percent(p) }));
      parts.stage.paint();
    } else if (event.key === "Enter" || event.key === " ") add(cross);
    else return;
    event.preventDefault();
  }

  // ---- drawing

  function draw() {
    parts.status.textContent = !state ? say("status_empty") : !Number.isFinite(state.loss) ? say("thrown_out")
      : say("status", { step, loss: Dom.number(state.loss), right: state.right, all: points().length });
    parts.stage.paint();
    parts.curve.paint();
  }

  function drawCurve(context, width, height) {
    const finite = losses.filter(Number.isFinite);
    if (!finite.length) return;
    Live.curves(context, width, height, [{ values: finite, colour: Live.colour("c1"), dash: [] }],
      { ylabel: say("axis_loss"), xlabel: say("axis_step") });
  }

  function drawStage(context, width, height) {
    const at = ([x, y]) => [width / 2 * (1 + x / HALF), height / 2 * (1 - y / HALF)];
    const n = 91, scores = Array.from({ length: n * n }, (_, k) => { // at the corners of a grid
      const row = Math.floor(k / n), column = k % n;
      const place = [(2 * column / (n - 1) - 1) * HALF, (1 - 2 * row / (n - 1)) * HALF];
      return forward(weights, place, settings.activation).s;
    });
    paintSides(context, scores, n, width);
    if (withLines) drawUnits(context, at);
    for (const [from, to] of boundary(scores, n)) {
      const [a, b] = [from, to].map((place) => place.map((v) => v / (n - 1) * width));
      Live.line(context, [a, b], Live.colour("ink"), 3);
    }
    const size = Math.min(Math.max(width / 45, 9), 13);
    points().forEach(([x, y, t], k) => {
      Live.mark(context, say(`class_${t}`), ...at([x, y]),
        Live.colour(t ? "c5" : "c1"), k < given.length ? size : size + 5);
    });
    if (document.activeElement === parts.stage.canvas) {
      Live.mark(context, "✛", ...at(cross), Live.colour("ink"), 22);
    }
  }

  /** Each side in the colour of its class, the stronger the surer. */
  function paintSides(context, scores, n, width) {
    const [paper, ...classes] = ["paper", "c1", "c5"].map((name) => Live.channels(Live.colour(name)));
    const image = new ImageData(n, n);
    scores.forEach((s, k) => {
      const p = probability(s), share = 0.5 * Math.abs(2 * p - 1), side = classes[p > 0.5 ? 1 : 0];
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = paper[c] + share * (side[c] - paper[c]);
      image.data[4 * k + 3] = 255;
    });
    const canvas = element("canvas", { width: n, height: n });
    canvas.getContext("2d").putImageData(image, 0, 0);
    const half = width / (n - 1) / 2; // corners are the middles of the drawn pixels
    context.drawImage(canvas, -half, -half, width + 2 * half, width + 2 * half);
  }

  /** Where w . x + b is 0, for each hidden unit. */
  function drawUnits(context, at) {
    const { w1, b1 } = weights;
    b1.forEach((b, h) => {
      const [u, v] = [w1[2 * h], w1[2 * h + 1]], size = u * u + v * v;
      if (!size) return;
      const [nearest, along] = [[-b * u / size, -b * v / size], [-v / Math.sqrt(size), u / Math.sqrt(size)]];
      const ends = [-20, 20].map((far) => at([0, 1].map((k) => nearest[k] + far * along[k])));
      Live.line(context, ends, Live.colour("quiet"), 1.2, [6, 4]);
    });
  }

  /**
   * Marching squares: pieces of the line on which the scores,
   * n x n of them, are 0, as pairs of [column, row].
   */
  function boundary(scores, n) {
    const pieces = [];
    for (let r = 0; r < n - 1; r++) {
      for (let c = 0; c < n - 1; c++) {
        const corners = [[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]];
        const crossings = corners.map((from, k) =>
          crossing(from, corners[(k + 1) % 4], scores, n)).filter(Boolean);
        for (let k = 0; k + 1 < crossings.length; k += 2) pieces.push([crossings[k], crossings[k + 1]]);
      }
    }
    return pieces;
  }

  /** Where the score is 0 between two neighbouring corners, or null. */
  function crossing(from, to, scores, n) {
    const a = scores[from[1] * n + from[0]], b = scores[to[1] * n + to[0]];
    if ((a > 0) === (b > 0)) return null;
    const share = a / (a - b);
    return [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
  }

  return { ACTIVATIONS, initial, forward, lossAndGradients, descend, pointsOf, boundary, build };
})();

Live.start(Boundary.build);
