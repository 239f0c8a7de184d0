"use strict";

/** Every text of this page; {names} are filled in. */
const Words = {
  ...LiveWords,
  title: "What an element sees",
  introduction: "A stack of convolutions and pools along one axis of a picture; the other axis is like it. "
    + "Point at an element to see what it is computed from in each layer below, down to the pixels.",
  preset: "Start from",
  preset_vgg: "three of size 3 (VGG)",
  preset_lenet: "LeNet-5",
  preset_alexnet: "AlexNet",
  preset_resnet: "the start of ResNet-18",
  preset_dilated: "dilations 1, 2, 4, 8",
  pixels: "pixels n",
  add: "Add a layer",
  remove: "Remove",
  remove_layer: "Remove layer {layer}",
  conv: "convolution",
  pool: "pool",
  kind: "type of layer {layer}",
  picture: "picture",
  row: "{layer}: {kind}, {size} elements",
  row_picture: "picture, {size} pixels",
  head_layer: "layer",
  head_kind: "type",
  head_k: "size k",
  head_s: "stride s",
  head_d: "dilation d",
  head_p: "padding p",
  head_out: "elements",
  head_sees: "sees",
  head_step: "step",
  head_first: "first",
  head_last: "last",
  field_k: "size k of layer {layer}",
  field_s: "stride s of layer {layer}",
  field_d: "dilation d of layer {layer}",
  field_p: "padding p of layer {layer}",
  refused: "does not fit",
  stage: "The layers, the picture at the bottom. Arrow keys move along a layer, and up and down between "
    + "layers.",
  sees: "Element {index} of layer {layer} sees the pixels {first} to {last}: {size} of them, {inside} in the "
    + "picture.",
  sees_holes: "Its pixels are not next to one another: {count} of the {size} reach it.",
  sees_pixel: "A pixel, number {index}, sees itself.",
  hint: "Filled: what it is computed from. Dashed: padding. Below the picture: the span from its first pixel "
    + "to its last.",
  equations: "first ← first − step · p\nlast ← last + step · (d (k − 1) − p)\nstep ← step · s\n"
    + "Element i sees the pixels first + i · step to last + i · step",
};

const ReceptiveField = (() => {
  const { element, say } = Dom;

  // ---- the equations of minicnn.layers.receptive_field, along one axis

  const PIXEL = { first: 0, last: 0, step: 1 };

  /** first <- first - step p;  last <- last + step (d (k - 1) - p);  step <- step s */
  const through = ({ first, last, step }, { k, s, d, p }) =>
    ({ first: first - step * p, last: last + step * (d * (k - 1) - p), step: step * s });

  /** The field of each level, from the pixels upwards. */
  const fieldsOf = (layers) =>
    layers.reduce((fields, layer) => [...fields, through(fields[fields.length - 1], layer)], [PIXEL]);

  /**
   * Elements of each level, from the n pixels up:
   * floor((n + 2p - d (k - 1) - 1) / s) + 1; 0 where a layer does not fit.
   */
  const sizesOf = (layers, n) => layers.reduce((sizes, { k, s, d, p }) => {
    const below = sizes[sizes.length - 1], size = Math.floor((below + 2 * p - d * (k - 1) - 1) / s) + 1;
    return [...sizes, below ? Math.max(size, 0) : 0];
  }, [n]);

  /**
   * What element i of a level is computed from: an array of indices for each level up to it;
   * beyond a level's ends is padding.
   */
  function seen(layers, sizes, level, i) {
    const found = [];
    found[level] = [i];
    for (let l = level; l > 0; l--) {
      const { k, s, d, p } = layers[l - 1], below = new Set();
      for (const j of found[l].filter((at) => at >= 0 && at < sizes[l])) { // padding is computed from nothing
        for (let q = 0; q < k; q++) below.add(j * s - p + q * d);
      }
      found[l - 1] = [...below].sort((a, b) => a - b);
    }
    return found;
  }

  // ---- the page

  const layer = (kind, k, s = 1, p = 0, d = 1) => ({ kind, k, s, d, p });
  const conv = (...given) => layer("conv", ...given), pool = (...given) => layer("pool", ...given);
  const PRESETS = {
    vgg: { n: 16, layers: () => [conv(3, 1, 1), conv(3, 1, 1), conv(3, 1, 1)] },
    lenet: { n: 32, layers: () => [conv(5), pool(2, 2), conv(5), pool(2, 2)] },
    alexnet: {
      n: 227, layers: () => [
        conv(11, 4), pool(3, 2), conv(5, 1, 2), pool(3, 2),
        conv(3, 1, 1), conv(3, 1, 1), conv(3, 1, 1), pool(3, 2),
      ],
    },
    resnet: { n: 64, layers: () => [conv(7, 2, 3), pool(3, 2, 1), conv(3, 1, 1), conv(3, 1, 1)] },
    dilated: { n: 40, layers: () => [1, 2, 4, 8].map((d) => conv(3, 1, d, d)) },
  };
  const LIMITS = { k: [1, 15], s: [1, 8], d: [1, 16], p: [0, 16] };
  const MOST = 10; // layers
  const ROW = 62; // pixels of the screen from one level to the next

  let n = 16, layers = PRESETS.vgg.layers(), at = [3, 8], sizes, fields, shown, parts;

  function build(main) {
    parts = {
      stage: new Live.Drawing(draw, () => (shown + 1) * ROW + 26, {
        role: "application", tabindex: 0, "aria-label": say("stage"),
        onpointermove: pointed, onpointerdown: pointed, onkeydown: moved,
      }),
      sees: element("p", { class: "status" }), table: element("table", { class: "stack" }),
      add: element("button", { class: "small", onclick: addLayer }, say("add")),
      pixels: Live.slider(say("pixels"), Live.whole(4, 256), n, (value) => { n = value; update(); }),
    };
    const names = Object.keys(PRESETS);
    main.append(
      element("div", { class: "controls" },
        Dom.select(say("preset"), names.map((name, k) => [k, say(`preset_${name}`)]), 0,
          (k) => choose(PRESETS[names[k]])),
        parts.pixels.element),
      parts.stage.canvas, parts.sees, element("p", { class: "quiet" }, say("hint")),
      element("div", { class: "wide" }, parts.table), element("p", {}, parts.add),
      element("p", { class: "equation" }, say("equations")));
    rebuild();
  }

  function choose(preset) {
    [n, layers] = [preset.n, preset.layers()];
    parts.pixels.set(n);
    at = [layers.length, Math.floor(sizesOf(layers, n)[layers.length] / 2)];
    rebuild();
  }

  // ---- the table

  const HEADS = ["layer", "kind", "k", "s", "d", "p", "out", "sees", "step", "first", "last"];

  function rebuild() {
    Dom.rebuild(parts.table, () => parts.table.replaceChildren(
      element("thead", {}, element("tr", {},
        HEADS.map((name) => element("th", { scope: "col" }, say(`head_${name}`))), element("td"))),
      element("tbody", {}, layers.map(tableRow).reverse()))); // the last layer at the top, as it is drawn
    parts.add.disabled = layers.length === MOST;
    update();
  }

  function addLayer() {
    layers.push(conv(3, 1, 1));
    rebuild();
  }

  function tableRow(given, index) {
    const number = index + 1;
    const kinds = ["conv", "pool"].map((kind) => [kind, say(kind)]);
    const select = element("select", {
      "aria-label": say("kind", { layer: number }),
      onchange: (event) => {
        given.kind = event.target.value;
        if (given.kind === "pool") given.d = 1;
        rebuild();
      },
    }, kinds.map(([kind, text]) => element("option", { value: kind, selected: kind === given.kind }, text)));
    const field = (name) => element("input", {
      type: "number", min: LIMITS[name][0], max: LIMITS[name][1], value: given[name],
      disabled: name === "d" && given.kind === "pool", "aria-label": say(`field_${name}`, { layer: number }),
      oninput: (event) => change(event.target, given, name),
    });
    return element("tr", {},
      element("th", { scope: "row" }, String(number)), element("td", {}, select),
      ["k", "s", "d", "p"].map((name) => element("td", {}, field(name))),
      ["out", "sees", "step", "first", "last"].map((name) => element("td", { class: name })),
      element("td", {}, element("button", {
        class: "small", "aria-label": say("remove_layer", { layer: number }), disabled: layers.length === 1,
        onclick: () => { layers.splice(index, 1); rebuild(); },
      }, say("remove"))));
  }

  function change(input, given, name) {
    const value = input.valueAsNumber, [least, most] = LIMITS[name];
    const isRight = Number.isInteger(value) && value >= least && value <= most;
    input.toggleAttribute("aria-invalid", !isRight);
    if (!isRight) return;
    given[name] = value;
    update();
  }

  /** What follows from the layers: sizes, fields, table, drawing. */
  function update() {
    [sizes, fields] = [sizesOf(layers, n), fieldsOf(layers)];
    const refused = sizes.indexOf(0);
    shown = refused < 0 ? layers.length : refused - 1;
    [...parts.table.tBodies[0].rows].reverse().forEach((row, index) => {
      const { first, last, step } = fields[index + 1], fits = index < shown;
      const texts = { out: sizes[index + 1], sees: last - first + 1, step, first: Live.short(first), last };
      for (const [name, text] of Object.entries(texts)) {
        row.querySelector(`.${name}`).textContent = fits ? text : name === "out" ? say("refused") : "";
      }
      row.classList.toggle("refused", !fits);
    });
    point(at);
  }

  // ---- pointing

  function point([level, index]) {
    const inside = Math.min(level, shown);
    at = [inside, Math.min(Math.max(index, 0), sizes[inside] - 1)];
    [...parts.table.tBodies[0].rows].reverse().forEach((row, k) => {
      if (k + 1 === at[0]) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
    parts.sees.textContent = sentence();
    parts.stage.paint();
  }

  function sentence() {
    const [level, index] = at;
    if (!level) return say("sees_pixel", { index });
    const { first, last, step } = fields[level], [from, to] = [first + index * step, last + index * step];
    const pixels = seen(layers, sizes, level, index)[0].length, size = to - from + 1;
    const inside = Math.max(Math.min(to, n - 1) - Math.max(from, 0) + 1, 0);
    const [start, end] = [from, to].map(Live.short);
    const text = say("sees", { index, layer: level, first: start, last: end, size, inside });
    return pixels < size && hasHoles() ? `${text} ${say("sees_holes", { count: pixels, size })}` : text;
  }

  /** Whether an element that reaches no padding has pixels in its span that it does not see. */
  function hasHoles() {
    const [level, index] = at, pixels = seen(layers, sizes, level, index)[0];
    return pixels.some((pixel, k) => k && pixel - pixels[k - 1] > 1);
  }

  function pointed(event) {
    const [x, y] = parts.stage.at(event), { left, unit } = scale();
    const level = Math.min(Math.max(shown - Math.floor(y / ROW), 0), shown);
    const { first, last, step } = fields[level];
    point([level, Math.round(((x / unit + left - 0.5) - (first + last) / 2) / step)]);
  }

  function moved(event) {
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key], up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!along && !up) return;
    event.preventDefault();
    if (along) point([at[0], at[1] + along]);
    else point(nearest(Math.min(Math.max(at[0] + up, 0), shown)));
    Dom.announce(parts.sees.textContent);
  }

  /** The element of a level that lies nearest to the chosen one. */
  function nearest(level) {
    const { first, last, step } = fields[level];
    return [level, Math.round((middle(...at) - (first + last) / 2) / step)];
  }

  // ---- drawing

  /** The middle of what an element sees, in pixels of the picture. */
  const middle = (level, index) =>
    (fields[level].first + fields[level].last) / 2 + index * fields[level].step;

  /** Padding at each end of a level: what the layer above adds. */
  const paddingOf = (level) => (level < shown ? layers[level].p : 0);

  /** From pixels of the picture to the screen: `left` is at its left end, `unit` the width of one. */
  function scale() {
    let left = 0, right = n;
    for (let level = 0; level <= shown; level++) {
      const half = fields[level].step / 2, more = paddingOf(level);
      left = Math.min(left, middle(level, -more) + 0.5 - half);
      right = Math.max(right, middle(level, sizes[level] - 1 + more) + 0.5 + half);
    }
    return { left, right, unit: parts.stage.width / (right - left) };
  }

  function draw(context, width) {
    const { left, unit } = scale(), x = (pixel) => (pixel + 0.5 - left) * unit;
    const found = seen(layers, sizes, ...at), cells = [];
    for (let level = 0; level <= shown; level++) {
      const y = (shown - level) * ROW + 24;
      const size = Math.min(Math.max(fields[level].step * unit * 0.84, 1.2), 44);
      const chosen = new Set(found[level] || []), more = paddingOf(level);
      cells[level] = { y, size };
      for (let i = -more; i < sizes[level] + more; i++) {
        const isPadding = i < 0 || i >= sizes[level], isChosen = level === at[0] && i === at[1];
        drawCell(context, x(middle(level, i)), y, size, chosen.has(i), isPadding, isChosen);
      }
    }
    for (let level = at[0]; level > 0; level--) links(context, found, level, cells, x);
    cells.forEach(({ y }, level) => nameRow(context, level, y - 6));
    if (at[0]) span(context, x, width);
  }

  /** What a level is, on a border in the colour of the paper, for links may pass there. */
  function nameRow(context, level, y) {
    const text = level
      ? say("row", { layer: level, kind: describe(layers[level - 1]), size: sizes[level] })
      : say("row_picture", { size: n });
    context.font = "13px system-ui, sans-serif";
    [context.textAlign, context.textBaseline] = ["left", "alphabetic"];
    [context.strokeStyle, context.lineWidth] = [Live.colour("paper"), 4];
    context.fillStyle = Live.colour("quiet");
    context.strokeText(text, 0, y);
    context.fillText(text, 0, y);
  }

  function describe({ kind, k, ...others }) {
    const given = [["s", 1], ["p", 0], ["d", 1]].filter(([name, usual]) => others[name] !== usual);
    return [`${say(kind)} ${k}`, ...given.map(([name]) => `${name} ${others[name]}`)].join(", ");
  }

  const HIGH = 16; // of a cell

  function drawCell(context, x, y, size, isSeen, isPadding, isChosen) {
    const box = [x - size / 2, y, size, HIGH];
    context.fillStyle = Live.colour(isChosen ? "c5" : isSeen ? "c1" : "shade");
    if (isSeen && !isPadding || !isPadding && size > 4) context.fillRect(...box);
    else if (!isPadding) { context.fillStyle = Live.colour("line"); context.fillRect(...box); }
    if (size < 4 && !isPadding) return;
    context.strokeStyle = Live.colour(isSeen ? "ink" : "quiet");
    context.lineWidth = isChosen ? 3 : isSeen ? 1.5 : 0.7;
    context.setLineDash(isPadding ? [2, 2] : []);
    context.strokeRect(...box);
    context.setLineDash([]);
  }

  /** From each element that is seen to those that it is computed from. */
  function links(context, found, level, cells, x) {
    const { k, s, d, p } = layers[level - 1], top = cells[level].y + HIGH, bottom = cells[level - 1].y;
    context.globalAlpha = 0.45;
    for (const j of found[level].filter((index) => index >= 0 && index < sizes[level])) {
      for (let q = 0; q < k; q++) {
        const to = [x(middle(level - 1, j * s - p + q * d)), bottom];
        Live.line(context, [[x(middle(level, j)), top], to], Live.colour("c1"), 1);
      }
    }
    context.globalAlpha = 1;
  }

  /** Below the picture, from the first pixel to the last. */
  function span(context, x, width) {
    const [level, index] = at, { first, last, step } = fields[level], y = shown * ROW + 24 + HIGH + 12;
    const [from, to] = [x(first + index * step - 0.5), x(last + index * step + 0.5)];
    const ends = [[from, y - 6], [from, y + 6], [from, y], [to, y], [to, y - 6], [to, y + 6]];
    Live.line(context, ends, Live.colour("c5"), 2);
    context.fillStyle = Live.colour("ink");
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    const text = `${Live.short(first + index * step)} … ${Live.short(last + index * step)}`;
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(Math.max((from + to) / 2, half), width - half), y + 16);
  }

  return { through, fieldsOf, sizesOf, seen, build };
})();

Live.start(ReceptiveField.build);
