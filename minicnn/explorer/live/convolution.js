"use strict";

/** Every text of this page; {names} are filled in. */
const Words = {
  ...LiveWords,
  title: "A convolution, number by number",
  introduction: "Draw a picture and choose a filter. At each place the filter is laid on the picture; what "
    + "lies on each other is multiplied, and all of it summed: one number of the output.",
  picture: "Picture",
  picture_preset: "Start from",
  picture_seven: "a seven",
  picture_ring: "a ring",
  picture_edge: "an edge",
  picture_dot: "a single pixel",
  picture_empty: "nothing",
  brush: "brush",
  picture_label: "The picture, {rows} rows and {columns} columns of numbers from 0 to 9. Arrow keys move; a "
    + "digit sets the pixel, Space paints with the brush.",
  picture_hint: "Draw with the mouse or a finger. By keyboard: arrow keys, a digit, Space. Dashed: padding.",
  pixel: "row {row}, column {column}: {value}",
  filter: "Filter",
  weights: "filter",
  filter_preset: "Kind",
  filter_own: "your own",
  filter_identity: "identity",
  filter_average: "average",
  filter_sobel_x: "Sobel, left to right",
  filter_sobel_y: "Sobel, top to bottom",
  filter_laplace: "Laplace",
  filter_sharpen: "sharpened",
  weight: "weight in row {row}, column {column}",
  size: "size k",
  stride: "stride s",
  pad: "padding",
  dilation: "dilation d",
  output: "Output",
  output_size: "Size: ({n} + 2·{pad} − {d}·({k} − 1) − 1) / {s} + 1, rounded down, is {size}: {size} rows "
    + "and {size} columns.",
  output_label: "The output, {rows} rows and {columns} columns. Arrow keys move the window.",
  output_none: "The filter spans {span} pixels, and the padded picture has {n}: there is no place for it.",
  arithmetic: "The window at row {row}, column {column} of the output",
  equation: "y[i, j] = Σ x[i·s + p·d − padding, j·s + q·d − padding] · w[p, q],  over p, q = 0 … k − 1",
  window: "window",
  products: "products",
  sum: "{terms} = {sum}",
  spoken: "Row {row}, column {column}: {value}",
};

const Convolution = (() => {
  const { element, say } = Dom;
  const { short } = Live;

  // ---- the numbers

  const N = 10; // pixels of a side
  /**
   * Output size along an axis of n pixels: floor((n + 2 pad - d (k - 1) - 1) / s) + 1,
   * or 0 where no window fits.
   */
  const count = (n, k, { stride, pad, dilation }) =>
    Math.max(Math.floor((n + 2 * pad - dilation * (k - 1) - 1) / stride) + 1, 0);

  /**
   * What lies under the filter at output (i, j): for tap (p, q),
   * x[i s + p d - pad, j s + q d - pad]; null is padding.
   */
  function windowAt(x, H, W, k, { stride: s, pad, dilation: d }, [i, j]) {
    const taps = [];
    for (let p = 0; p < k; p++) {
      for (let q = 0; q < k; q++) {
        const row = i * s + p * d - pad, column = j * s + q * d - pad;
        const inside = row >= 0 && row < H && column >= 0 && column < W;
        taps.push({ row, column, x: inside ? x[row * W + column] : null });
      }
    }
    return taps;
  }

  /**
   * y[i, j] = sum over p, q of x[i s + p d - pad, j s + q d - pad] w[p, q],
   * for an H x W picture and a k x k filter.
   */
  function correlate(x, H, W, w, k, geometry) {
    const OH = count(H, k, geometry), OW = count(W, k, geometry), y = new Float64Array(OH * OW);
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++) {
        const taps = windowAt(x, H, W, k, geometry, [i, j]);
        y[i * OW + j] = taps.reduce((sum, tap, t) => sum + (tap.x || 0) * w[t], 0);
      }
    }
    return { y, OH, OW };
  }

  /** A filter of another size: around the same middle, cut off or filled up with zeros. */
  function resized(w, from, to) {
    const by = Math.floor((to - from) / 2);
    return Array.from({ length: to * to }, (_, t) => {
      const p = Math.floor(t / to) - by, q = t % to - by;
      return p >= 0 && p < from && q >= 0 && q < from ? w[p * from + q] : 0;
    });
  }

  const FILTERS = {
    sobel_x: () => [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    sobel_y: () => [-1, -2, -1, 0, 0, 0, 1, 2, 1],
    laplace: () => [0, 1, 0, 1, -4, 1, 0, 1, 0],
    sharpen: () => [0, -1, 0, -1, 5, -1, 0, -1, 0],
    identity: () => [0, 0, 0, 0, 1, 0, 0, 0, 0],
    average: (k) => new Array(k * k).fill(Number((1 / (k * k)).toFixed(4))),
  };

  const PICTURES = {
    seven(r, c) {
      const isTop = r === 2 && c > 1 && c < 8;
      const isStroke = r > 2 && r < 9 && c === Math.round(7 - (r - 2) * 0.6);
      return isTop || isStroke ? 9 : 0;
    },
    ring: (r, c) => Math.max(0, Math.round(9 - 6 * Math.abs(Math.hypot(r - 4.5, c - 4.5) - 3))),
    edge: (r, c) => (c > 4 ? 9 : 2),
    dot: (r, c) => (r === 4 && c === 4 ? 1 : 0),
    empty: () => 0,
  };
  const pictureOf = (name) => Array.from({ length: N * N },
    (_, k) => PICTURES[name](Math.floor(k / N), k % N));

  // ---- the page

  const geometry = { stride: 1, pad: 1, dilation: 1 };
  let x = pictureOf("seven"), k = 3, w = FILTERS.sobel_x(), preset = "sobel_x";
  let kept = { w, k, preset }; // the filter as it was chosen or typed: other sizes are cut from it
  let at = [3, 5], cursor = [0, 0], brush = 9, painting = null, result, parts;

  function build(main) {
    parts = {
      picture: new Live.Drawing(drawPicture, (width) => width, {
        role: "application", tabindex: 0, class: "drawing paint",
        onpointerdown: startPainting, onpointermove: paintOn,
        onpointerup: () => { painting = null; }, onpointercancel: () => { painting = null; },
        onkeydown: typed,
        onfocus: () => parts.picture.paint(), onblur: () => parts.picture.paint(),
        "aria-label": say("picture_label", { rows: N, columns: N }),
      }),
      output: new Live.Drawing(drawOutput, (width) => width, {
        role: "application", tabindex: 0, onpointerdown: pointed, onpointermove: pointed, onkeydown: moved,
      }),
      weights: element("table", { class: "filter" }),
      size: element("p", { class: "quiet" }), sums: element("div"),
      player: new Live.Player(advance, () => goTo([0, 0]), 2.5), presets: element("span"),
    };
    main.append(
      element("div", { class: "columns pictures" },
        element("div", {}, element("h2", {}, say("picture")), pictureControls(), parts.picture.canvas,
          element("p", { class: "quiet" }, say("picture_hint"))),
        element("div", {}, element("h2", {}, say("filter")), parts.presets, parts.weights, sliders()),
        element("div", {}, element("h2", {}, say("output")),
          element("div", { class: "controls" }, parts.player.element),
          parts.output.canvas, parts.size)),
      parts.sums);
    showFilter();
    compute();
  }

  function pictureControls() {
    const names = Object.keys(PICTURES);
    return element("div", { class: "controls" },
      Dom.select(say("picture_preset"), names.map((name, n) => [n, say(`picture_${name}`)]), 0,
        (n) => { x = pictureOf(names[n]); compute(); }),
      Live.slider(say("brush"), Live.whole(0, 9), brush, (value) => { brush = value; }).element);
  }

  function sliders() {
    const change = (name) => (value) => { geometry[name] = value; compute(); };
    parts.sizeSlider = Live.slider(say("size"), Live.whole(1, 5), k, resize);
    return element("div", { class: "sliders" }, parts.sizeSlider.element,
      Live.slider(say("stride"), Live.whole(1, 4), geometry.stride, change("stride")).element,
      Live.slider(say("pad"), Live.whole(0, 4), geometry.pad, change("pad")).element,
      Live.slider(say("dilation"), Live.whole(1, 3), geometry.dilation, change("dilation")).element);
  }

  // ---- the filter

  function choosePreset(name) {
    if (name === "own") return;
    if (name !== "average") k = 3;
    [preset, w] = [name, FILTERS[name](k)];
    kept = { w, k, preset };
    parts.sizeSlider.set(k);
    showFilter();
    compute();
  }

  function resize(size) {
    if (preset === "average") kept = { w: FILTERS.average(size), k: size, preset };
    w = resized(kept.w, kept.k, size);
    preset = size === kept.k ? kept.preset : "own";
    k = size;
    showFilter();
    compute();
  }

  function showFilter() {
    showPresets();
    parts.weights.style.maxWidth = `${4.2 * k}rem`;
    parts.weights.replaceChildren(square((t) => element("td", {}, element("input", {
      type: "number", step: "any", value: w[t],
      "aria-label": say("weight", { row: Math.floor(t / k) + 1, column: t % k + 1 }),
      oninput: (event) => setWeight(event.target, t),
    }))));
  }

  /** The cells of k rows and columns. */
  function square(cell) {
    const rows = Live.whole(0, k - 1);
    return element("tbody", {}, rows.map((p) => element("tr", {}, rows.map((q) => cell(p * k + q)))));
  }

  function showPresets() {
    const names = ["own", ...Object.keys(FILTERS)];
    Dom.rebuild(parts.presets, () => parts.presets.replaceChildren(Dom.select(say("filter_preset"),
      names.map((name, n) => [n, say(`filter_${name}`)]), names.indexOf(preset),
        (n) => choosePreset(names[n]))));
  }

  function setWeight(input, t) {
    const value = input.valueAsNumber;
    input.toggleAttribute("aria-invalid", !Number.isFinite(value));
    if (!Number.isFinite(value)) return;
    w[t] = value;
    kept = { w: [...w], k, preset: "own" };
    if (preset !== "own") { preset = "own"; showPresets(); }
    compute();
  }

  // ---- drawing on the picture

  /** The pixel under the pointer; of the padding, the nearest one. */
  function pixelUnder(event) {
    const n = N + 2 * geometry.pad, inside = (v) => Math.min(Math.max(v - geometry.pad, 0), N - 1);
    return Paint.under(event, parts.picture.canvas, n, n).map(inside);
  }

  function startPainting(event) {
    parts.picture.canvas.setPointerCapture(event.pointerId);
    cursor = pixelUnder(event);
    painting = x[cursor[0] * N + cursor[1]] === brush ? 0 : brush; // what is painted already is wiped off
    set(cursor, painting);
  }

  function paintOn(event) {
    if (painting !== null) set(cursor = pixelUnder(event), painting);
  }

  function typed(event) {
    const next = Paint.moved(event.key, cursor, N, N), old = x[cursor[0] * N + cursor[1]];
    if (next) cursor = next;
    else if (/^[0-9]$/.test(event.key)) set(cursor, Number(event.key));
    else if (event.key === " " || event.key === "Enter") set(cursor, old === brush ? 0 : brush);
    else return;
    event.preventDefault();
    parts.picture.paint();
    const [row, column] = cursor;
    Dom.announce(say("pixel", { row: row + 1, column: column + 1, value: x[row * N + column] }));
  }

  function set([row, column], value) {
    x[row * N + column] = value;
    compute();
  }

  // ---- the window

  function pointed(event) {
    if (result.OH) goTo(Paint.under(event, parts.output.canvas, result.OH, result.OW));
  }

  function moved(event) {
    const to = result.OH ? Paint.moved(event.key, at, result.OH, result.OW) : null;
    if (!to) return;
    event.preventDefault();
    goTo(to);
    tell();
  }

  /** On to the next place, row by row. */
  function advance() {
    const { OH, OW } = result;
    if (!OH) return false;
    const next = (at[0] * OW + at[1] + 1) % (OH * OW);
    goTo([Math.floor(next / OW), next % OW]);
    if (!parts.player.timer) tell();
    return next < OH * OW - 1;
  }

  function tell() {
    const [i, j] = at, value = short(result.y[i * result.OW + j]);
    Dom.announce(say("spoken", { row: i + 1, column: j + 1, value }));
  }

  function goTo(to) {
    at = to;
    parts.picture.paint();
    parts.output.paint();
    writeOut();
  }

  function compute() {
    result = correlate(x, N, N, w, k, geometry);
    const { OH, OW } = result, { stride: s, pad, dilation: d } = geometry;
    parts.output.canvas.setAttribute("aria-label", say("output_label", { rows: OH, columns: OW }));
    parts.size.textContent = OH ? say("output_size", { n: N, pad, d, k, s, size: OH })
      : say("output_none", { span: d * (k - 1) + 1, n: N + 2 * pad });
    goTo([Math.max(Math.min(at[0], OH - 1), 0), Math.max(Math.min(at[1], OW - 1), 0)]);
  }

  /** Window, filter and products as tables, and the sum as one line. */
  function writeOut() {
    parts.sums.replaceChildren();
    if (!result.OH) return;
    const taps = windowAt(x, N, N, k, geometry, at), value = result.y[at[0] * result.OW + at[1]];
    const sign = (text) => element("span", { class: "sign" }, text);
    const factor = (number) => (number < 0 ? `(${short(number)})` : short(number));
    parts.sums.append(
      element("h2", {}, say("arithmetic", { row: at[0] + 1, column: at[1] + 1 })),
      element("p", { class: "equation" }, say("equation")),
      element("div", { class: "window" },
        element("span", {}, numbers("window", taps.map((tap) => tap.x || 0), taps)),
        element("span", {}, sign("·"), numbers("weights", w)),
        element("span", {}, sign("="), numbers("products", taps.map((tap, t) => (tap.x || 0) * w[t]), taps))),
      element("p", { class: "value terms" }, say("sum", {
        terms: taps.map((tap, t) => `${tap.x || 0}·${factor(w[t])}`).join(" + "), sum: short(value),
      })));
  }

  function numbers(name, values, taps = []) {
    const isPadding = (t) => taps.length && taps[t].x === null;
    return element("figure", {}, element("figcaption", {}, say(name)), element("table", { class: "numbers" },
      square((t) => element("td", { class: isPadding(t) ? "padding" : null }, short(values[t])))));
  }

  // ---- pictures of numbers

  /** Numbers in a grid of cells, each on its grey or colour. */
  function drawGrid(context, width, rows, columns, values, scale, isPadding = () => false) {
    const cell = width / columns, isSigned = scale.colours === "diverging";
    context.imageSmoothingEnabled = false;
    const map = Paint.map(Float64Array.from(values), 0, rows, columns, scale);
    context.drawImage(map, 0, 0, width, cell * rows);
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    for (let t = 0; t < rows * columns; t++) {
      const row = Math.floor(t / columns), column = t % columns;
      const level = (values[t] - scale.low) / (scale.high - scale.low);
      const isDark = isSigned ? Math.abs(level - 0.5) > 0.3 : level < 0.5;
      if (isPadding(row, column)) {
        context.fillStyle = Live.colour("paper");
        context.fillRect(column * cell, row * cell, cell, cell);
        frame(context, column, row, cell, Live.colour("line"), 1, [3, 3]);
      } else frame(context, column, row, cell, "#808080", 0.5);
      context.fillStyle = isPadding(row, column) ? Live.colour("quiet") : isDark ? "#fff" : "#000";
      fitted(context, short(values[t]), (column + 0.5) * cell, (row + 0.5) * cell, cell);
    }
  }

  function frame(context, column, row, cell, stroke, width, dash = []) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.strokeRect(column * cell + width / 2, row * cell + width / 2, cell - width, cell - width);
    context.setLineDash([]);
  }

  /** A text as large as fits into a cell; none where nobody could read it. */
  function fitted(context, text, x0, y0, cell) {
    const size = Math.min(cell * 0.45, 16, cell * 1.5 / text.length);
    if (size < 6.5) return;
    context.font = `${size}px system-ui, sans-serif`;
    context.fillText(text, x0, y0);
  }

  /** A frame that is seen on any colour. */
  function framed(context, column, row, cell, dash = []) {
    frame(context, column, row, cell, "#000", 4.5);
    frame(context, column, row, cell, "#ffb454", 3, dash);
  }

  function drawPicture(context, width) {
    const { pad } = geometry, n = N + 2 * pad, cell = width / n;
    const isPadding = (row, column) => Math.min(row, column) < pad || Math.max(row, column) >= n - pad;
    const values = Array.from({ length: n * n }, (_, t) => {
      const row = Math.floor(t / n), column = t % n;
      return isPadding(row, column) ? 0 : x[(row - pad) * N + column - pad];
    });
    drawGrid(context, width, n, n, values, { colours: "grey", low: 0, high: 9 }, isPadding);
    if (result.OH) {
      for (const { row, column } of windowAt(x, N, N, k, geometry, at)) {
        framed(context, column + pad, row + pad, cell);
      }
    }
    if (document.activeElement === parts.picture.canvas) {
      framed(context, cursor[1] + pad, cursor[0] + pad, cell, [3, 3]);
    }
  }

  function drawOutput(context, width) {
    const { y, OH, OW } = result;
    if (!OH) return;
    drawGrid(context, width, OH, OW, y, Paint.scaleOf(y));
    framed(context, at[1], at[0], width / OW);
  }

  return { correlate, windowAt, resized, build, picture: () => x };
})();

Live.start(Convolution.build);
