"use strict";

const TILES_AT_ONCE = 64;

/** The maps of a node as a sheet of tiles. */
class Tiles {
  /**
   * values: C maps of H x W; label(c, from, to): what a tile is called; choose(c), or null for a sheet to look
   * at; signed: a scale of two colours in any case; page: the most tiles at once; unit: of the scale.
   */
  constructor({ choose = null, page = TILES_AT_ONCE, ...given }) {
    Object.assign(this, { signed: false, sorted: "index", unit: "", onChoose: choose, size: page }, given);
    [this.from, this.ownScale, this.chosen] = [0, false, null];
    this.sheet = Dom.element("div", { class: "tiles" });
    this.legend = Dom.element("div");
    this.pages = Dom.element("p", { class: "pages" });
    const name = `sort${Tiles.made = (Tiles.made || 0) + 1}`;
    const byStrength = Dom.say(this.signed ? "by_gradient" : "by_mean");
    const orders = [["index", Dom.say("by_index")], ["strength", byStrength]];
    const controls = Dom.element("div", { class: "controls" },
      Dom.choice(name, Dom.say("sort"), orders, this.sorted,
        (value) => { [this.sorted, this.from] = [value, 0]; this.fill(); }),
      Dom.element("label", {}, Dom.element("input", {
        type: "checkbox", onchange: (event) => { this.ownScale = event.target.checked; this.fill(); },
      }), Dom.say("own_scale")));
    const parts = [this.C > 1 ? controls : null, this.legend, this.sheet, this.pages];
    this.element = Dom.element("div", { class: "sheet" }, parts);
    if (choose) Dom.rove(this.sheet, "button");
    this.fill();
  }

  order() {
    const all = Array.from({ length: this.C }, (_, c) => c);
    if (this.sorted === "index") return all;
    const strength = all.map((c) => this.strength(c));
    return all.sort((a, b) => strength[b] - strength[a] || a - b);
  }

  /** The mean of a map; of gradients the mean of their sizes. */
  strength(c) {
    const area = this.H * this.W, map = this.values.subarray(c * area, (c + 1) * area);
    return map.reduce((sum, v) => sum + (this.signed ? Math.abs(v) : v), 0) / area;
  }

  scale(from, to) {
    return this.signed ? Paint.signedScale(this.values, from, to) : Paint.scaleOf(this.values, from, to);
  }

  fill() {
    const area = this.H * this.W, all = this.scale();
    this.legend.replaceChildren(this.ownScale
      ? Dom.element("p", { class: "quiet" }, Dom.say("own_scale_text")) : Paint.legend(all, this.unit));
    const shown = this.order().slice(this.from, this.from + this.size);
    this.sheet.replaceChildren(...shown.map((c) => {
      const [from, to] = [c * area, (c + 1) * area];
      const canvas = Paint.map(this.values, from, this.H, this.W, this.ownScale ? this.scale(from, to) : all);
      const label = this.label(c, from, to), text = Dom.element("span", { "aria-hidden": "true" }, String(c));
      const named = { class: "tile", "aria-label": label, title: label, "data-map": c };
      return this.onChoose
        ? Dom.element("button", { ...named, onclick: () => this.onChoose(c) }, canvas, text)
        : Dom.element("span", { ...named, role: "img" }, canvas, text);
    }));
    if (this.onChoose) this.choose(this.chosen);
    this.fillPages();
  }

  fillPages() {
    const last = Math.min(this.from + this.size, this.C);
    const turn = (by, key) => Dom.element("button", {
      class: "small", disabled: this.from + by < 0 || this.from + by >= this.C,
      onclick: () => { this.from += by; this.fill(); },
    }, Dom.say(key));
    const where = Dom.say("page", { from: this.from + 1, to: last, all: this.C });
    const parts = [turn(-this.size, "page_before"), ` ${where} `, turn(this.size, "page_after")];
    if (this.C > this.size) Dom.rebuild(this.pages, () => this.pages.replaceChildren(...parts));
  }

  /** Mark a map as the chosen one. */
  choose(c) {
    this.chosen = c;
    const tiles = [...this.sheet.children];
    for (const tile of tiles) {
      if (Number(tile.dataset.map) === c && c !== null) tile.setAttribute("aria-current", "true");
      else tile.removeAttribute("aria-current");
    }
    Dom.setStop(tiles, tiles.find((tile) => tile.hasAttribute("aria-current")) || tiles[0]);
  }
}

/** What a neuron sees of the picture: [top, left, bottom, right], ends excluded; null where not known. */
function receptiveField(k, r, c) {
  const field = App.data.nodes[k].receptive_field;
  if (!field || App.data.nodes[k].shape.length < 3) return null;
  const { first, last, stride } = field;
  const [down, right] = [r * stride[0], c * stride[1]];
  return [first[0] + down, first[1] + right, last[0] + down + 1, last[1] + right + 1];
}

/** A large map, in which a neuron can be pointed at or reached by arrow keys, and what it sees. */
function LargeMap(k, values, c, start) {
  const { element, say, number } = Dom;
  const [, H, W] = App.mapShape(k), area = H * W;
  const scale = Paint.scaleOf(values, c * area, (c + 1) * area);
  const label = say("large_label", { map: c, rows: H, columns: W });
  const map = new Paint.Stage({ tabindex: 0, role: "application", "aria-label": label });
  const seen = new Paint.Stage({ role: "img", "aria-label": say("seen_label") });
  const text = element("p", { class: "value" });
  map.shape = [H, W];
  Paint.map(values, c * area, H, W, scale, map.base);
  seen.picture(App.pixelsOf(App.state.picture), App.pictureShape(App.state.picture));
  let at = start;
  const point = (cell, aloud = false) => {
    at = cell;
    const [r, column] = cell, value = values[c * area + r * W + column];
    const said = say("neuron_value", { row: r, column, value: number(value) });
    map.box("cell", [r, column, r + 1, column + 1]);
    seen.box("field", receptiveField(k, r, column));
    text.textContent = said;
    if (aloud) Dom.announce(said);
  };
  const open = () => App.go({ view: "neuron", node: k, at: [c, ...at] });
  map.element.addEventListener("pointermove", (event) => point(Paint.under(event, map.element, H, W)));
  map.element.addEventListener("click", (event) => { point(Paint.under(event, map.element, H, W)); open(); });
  map.element.addEventListener("keydown", (event) => {
    const to = Paint.moved(event.key, at, H, W);
    if (event.key === "Enter" || event.key === " ") open();
    else if (to) point(to, true);
    else return;
    event.preventDefault();
  });
  point(start);
  return [
    element("h4", {}, say("map_heading", { map: c })),
    element("p", { class: "quiet" }, say("large_hint")),
    element("div", { class: "pair" },
      element("figure", {}, map.element, element("figcaption", {}, Paint.legend(scale), text)),
      element("figure", {}, seen.element, element("figcaption", {}, say("seen_caption")))),
    element("p", {}, element("button", { onclick: open }, say("open_neuron"))),
  ];
}

/** The values of a vector as bars: pointing at one shows it, a click or Enter opens it. */
function VectorBars(values, start, choose, name = (d) => Dom.say("number_of", { index: d })) {
  const { element, say, number } = Dom;
  const text = element("p", { class: "value" });
  const canvas = Paint.bars(values, start);
  const label = say("vector_label", { count: values.length });
  const attributes = { class: "vector", tabindex: 0, role: "application", "aria-label": label };
  const box = element("div", attributes, canvas);
  let at = start;
  const point = (d, aloud = false) => {
    at = d;
    Paint.bars(values, d, canvas);
    text.textContent = say("vector_value", { name: name(d), value: number(values[d]) });
    if (aloud) Dom.announce(text.textContent);
  };
  const under = (event) => Paint.under(event, canvas, 1, values.length)[1];
  box.addEventListener("pointermove", (event) => point(under(event)));
  box.addEventListener("click", (event) => { point(under(event)); choose(at); });
  box.addEventListener("keydown", (event) => {
    const to = Paint.moved(event.key, [0, at], 1, values.length);
    if (event.key === "Enter" || event.key === " ") choose(at);
    else if (to) point(to[1], true);
    else return;
    event.preventDefault();
  });
  point(start);
  return element("figure", {}, box, element("figcaption", {}, text));
}

/** The weights of one filter, or of one output of a matrix, as tiles. */
const Filters = (() => {
  const { element, say } = Dom;

  function of(k, c, network = App.state.network) {
    const { type, arrays } = App.data.nodes[k];
    if (!arrays[network] || !("w" in arrays[network])) return null;
    return type === "Conv2d" ? convolution(k, c, network) : type === "Linear" ? matrix(k, c, network) : null;
  }

  function convolution(k, f, network) {
    const node = App.data.nodes[k], index = node.arrays[network].w;
    const w = App.array(index), [, C, h, width] = App.data.arrays[index].shape;
    const from = f * C * h * width, part = w.subarray(from, from + C * h * width);
    const { shape, channels } = App.data.input;
    const sees = C === 3 && node.inputs[0] === 0 && shape[0] === 3; // the colours of the picture
    const tiles = h * width > 1 || C === 1 ? sheet(part, C, h, width) : VectorBars(part, 0, () => {});
    return element("div", {},
      element("p", {}, say("filter_text", { channels: C, shape: `${h} × ${width}` })),
      sees ? element("figure", { class: "colour-filter" }, 
        Paint.colourFilter(part, 0, h, width, channels === "BGR"),
        element("figcaption", {}, say("colour_filter"))) : null,
      tiles);
  }

  /** The row of weights of one output; as maps where the input is a flattened map. */
  function matrix(k, d, network) {
    const node = App.data.nodes[k], index = node.arrays[network].w;
    const [, D] = App.data.arrays[index].shape, row = App.array(index).subarray(d * D, (d + 1) * D);
    const below = App.data.nodes[node.inputs[0]];
    const [C, h, width] = App.mapShape(below.type === "Flatten" ? below.inputs[0] : node.inputs[0]);
    const drawn = h * width > 1 ? sheet(row, C, h, width) : VectorBars(row, 0, () => {});
    return element("div", {}, element("p", {}, say("matrix_text", { count: row.length })), drawn);
  }

  function sheet(values, C, H, W) {
    const label = (c) => say("weights_label", { channel: c });
    return new Tiles({ values, C, H, W, signed: true, label }).element;
  }

  return { of };
})();
