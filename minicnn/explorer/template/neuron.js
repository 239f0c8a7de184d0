"use strict";

/** One neuron: the arithmetic that made its value, as `Explain` tells it, from the numbers it read. */
const NeuronView = (() => {
  const { element, say, number, count } = Dom;
  const SAME_PLACE = [ // whose value at a place comes from the same place below
    "BatchNorm1d", "BatchNorm2d", "ReLU", "ReLU6", "LeakyReLU", "ELU", "Sigmoid", "Tanh", "GELU", "Scale",
    "Identity", "Add", "LocalResponseNorm",
  ];
  const [WINDOWS, TERMS, MORE] = [3, 10, 100]; // how many are shown, and of terms how many more at a time
  const LARGEST_WINDOW = 49; // numbers of a window that is written out
  let body, known = null;

  function build(panel) {
    body = element("div");
    panel.append(element("h2", {}, say("neuron_heading")), body);
  }

  async function show({ node, picture, network, at: chosen }) {
    const asked = JSON.stringify([node, picture, network, chosen]);
    if (asked === known) return;
    known = asked;
    if (!App.computable[network][node]) {
      body.replaceChildren(App.notThere(network));
      return;
    }
    if (!body.contains(document.activeElement)) {
      body.replaceChildren(element("p", { class: "quiet" }, say("computing")));
    }
    const at = chosen || largest(node, await App.values(node));
    const chain = chainOf(node), of = {};
    for (let n = 0; n < App.data.networks.length; n++) {
      const reached = chain.filter((k) => App.computable[n][k]);
      of[n] = [];
      for (const k of reached) of[n][k] = await App.values(k, n);
    }
    if (known !== asked) return;
    const explained = Explain.neuron(App.data, App.arrays(), network, App.pass(network).values, node, at);
    Dom.rebuild(body, () => body.replaceChildren(
      element("h3", { tabindex: -1 }, `${placeName(node, at)}: ${number(explained.result)}`),
      breadcrumb(chain, node, at, of[network]),
      element("div", { class: "columns" },
        element("div", {}, picturePart(node, at), compare(chain, at, of)),
        element("div", {}, arithmetic(explained, node)))));
  }

  const isVector = (k) => App.data.nodes[k].shape.length === 1;

  /** Where the output of a node is largest. */
  function largest(k, values) {
    const [, H, W] = App.mapShape(k), at = values.indexOf(Paint.range(values)[1]);
    return at < 0 ? [0, 0, 0] : [Math.floor(at / (H * W)), Math.floor(at / W) % H, at % W];
  }

  function placeName(k, [map, row, column]) {
    const name = App.nodeName(k);
    if (!isVector(k)) return say("neuron_place", { name, map, row, column });
    const areScores = k === App.lastNode && App.data.nodes[k].shape[0] === App.data.classes.length;
    return areScores ? `${name}, ${App.className(map)}` : say("neuron_place_vector", { name, index: map });
  }

  function valueAt(values, k, [c, r, column]) {
    const [, H, W] = App.mapShape(k);
    return values[(c * H + r) * W + column];
  }

  /** Steps that follow one another at the same place, such as convolution, batch norm, ReLU. */
  function chainOf(k) {
    const { nodes } = App.data, chain = [k];
    while (SAME_PLACE.includes(nodes[chain[0]].type)) chain.unshift(nodes[chain[0]].inputs[0]);
    const after = (below) =>
      nodes.findIndex(({ type, inputs }) => inputs.includes(below) && SAME_PLACE.includes(type));
    for (let next = after(k); next >= 0; next = after(next)) chain.push(next);
    return chain;
  }

  function breadcrumb(chain, node, at, values) {
    const step = (k) => element("button", {
      "aria-current": k === node ? "true" : null, onclick: () => App.go({ node: k, at }),
    }, App.typeName(k), element("b", {}, number(valueAt(values[k], k, at))));
    return element("ol", { class: "chain", "aria-label": say("chain_label") },
      chain.filter((k) => values[k]).map((k) => element("li", {}, step(k))));
  }

  // ---- what it sees

  function picturePart(k, [, r, c]) {
    const stage = new Paint.Stage({ role: "img", "aria-label": say("seen_label") });
    const shape = App.pictureShape(App.state.picture);
    stage.picture(App.pixelsOf(App.state.picture), shape);
    const field = receptiveField(k, r, c);
    stage.box("field", field);
    const text = !field ? say(isVector(k) ? "field_all" : "field_unknown") : say("field_caption", {
      top: Math.max(field[0], 0), bottom: Math.min(field[2], shape[0]) - 1,
      left: Math.max(field[1], 0), right: Math.min(field[3], shape[1]) - 1,
    });
    return element("figure", {}, stage.element, element("figcaption", {}, text));
  }

  function compare(chain, at, of) {
    const { networks } = App.data;
    if (networks.length < 2) return null;
    const value = (n, k) => (of[n][k] ? valueAt(of[n][k], k, at) : null);
    const cell = (v) => element("td", {}, v === null ? "–" : number(v));
    const row = (k) => {
      const [first, second] = [value(0, k), value(1, k)];
      return element("tr", {}, element("th", { scope: "row" }, App.typeName(k)), cell(first), cell(second),
        cell(first === null || second === null ? null : first - second));
    };
    const names = [say("step_name"), ...networks.map(({ name }) => name), say("change")];
    return [element("h3", {}, say("compare_heading")), table("terms", names, chain.map(row))];
  }

  function table(name, columns, rows, caption = null) {
    return element("div", { class: "wide" }, element("table", { class: name },
      caption ? element("caption", {}, caption) : null,
      element("thead", {}, element("tr", {}, columns.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, rows)));
  }

  // ---- the arithmetic

  function arithmetic({ equation, terms, grid, sums, result }, k) {
    return [
      element("h3", {}, say("arithmetic")),
      element("p", { class: "equation" }, say(equation in Words ? equation : "equation_other")),
      grid ? windows(terms, grid) : null,
      sumsTable(sums, result),
      terms.length > 1 || App.data.nodes[k].inputs.length ? termsTable(terms, k) : null,
    ];
  }

  function sumsTable(sums, result) {
    const row = (name, value) => element("tr", {},
      element("th", { scope: "row" }, name), element("td", {}, number(value)));
    return element("table", { class: "sums" }, element("tbody", {},
      sums.map(({ name, value }) => row(Words[`sum_${name}`] || name, value)), row(say("result"), result)));
  }

  /** Window, filter and products of the channels that matter most, as grids of numbers. */
  function windows(terms, [channels, rows, columns]) {
    const area = rows * columns;
    if (area < 2 || area > LARGEST_WINDOW) return null;
    const sumOf = (of) => of.reduce((sum, { x, product = x }) => sum + product, 0);
    const sorted = Array.from({ length: channels }, (_, c) => terms.slice(c * area, (c + 1) * area))
      .map((of) => ({ of, sum: sumOf(of) })).sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    const rest = sorted.slice(WINDOWS).reduce((total, { sum }) => total + sum, 0);
    return [
      sorted.slice(0, WINDOWS).map(({ of, sum }) => {
        const inside = of.find(({ at }) => at);
        const name = inside ? say("window_of", { channel: inside.at[0] }) : say("window");
        const drawn = (key, text) => numbers(text, of, columns, (term) => term[key]);
        return element("div", { class: "window" }, drawn("x", name), of[0].w === undefined ? null
          : [element("span", {}, "×", drawn("w", say("weights"))),
            element("span", {}, "=", drawn("product", say("sum_of_channel", { sum: number(sum) })))]);
      }),
      channels > WINDOWS
        ? element("p", {}, say("channels_more", { count: channels - WINDOWS, sum: number(rest) })) : null,
    ];
  }

  function numbers(caption, terms, columns, value) {
    const count = terms.length / columns;
    const rows = Array.from({ length: count }, (_, r) => terms.slice(r * columns, (r + 1) * columns));
    const cell = (term) => element("td", {
      class: term.won ? "won" : term.at ? null : "padding", title: term.at ? null : say("padding"),
    }, number(value(term)));
    return element("figure", {},
      element("table", { class: "numbers" },
        element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell))))),
      element("figcaption", {}, caption));
  }

  function termsTable(terms, k) {
    const size = ({ product, x }) => Math.abs(product ?? x);
    const sorted = terms.filter(({ at }) => at !== null).sort((a, b) => size(b) - size(a));
    const columns = ["x", "w", "product"].filter((key) => terms.some((term) => term[key] !== undefined));
    const drawn = table("terms", [say("term_from"), ...columns.map((key) => say(`term_${key}`))], [],
      sorted.length > 1 ? say("terms_caption") : null);
    const rows = drawn.querySelector("tbody");
    const more = element("p", {});
    let shown = 0;
    const add = (n) => {
      rows.append(...sorted.slice(shown, shown + n).map((term) => termRow(term, columns, k)));
      shown = Math.min(shown + n, sorted.length);
      const left = sorted.length - shown;
      more.replaceChildren(left ? element("button", { class: "small", onclick: () => add(MORE) },
        say("terms_more", { count: count(left), next: Math.min(MORE, left) })) : "");
    };
    add(TERMS);
    return [element("h3", {}, say("terms_heading")), drawn, more];
  }

  function termRow({ node, at, won, ...values }, columns, k) {
    const place = isVector(node) ? at.slice(0, 1) : at, name = `${App.nodeName(node)} [${place.join(", ")}]`;
    const link = element("button", { class: "link", onclick: () => App.go({ node, at }) }, name);
    return element("tr", { class: won ? "won" : null },
      element("td", {}, node === k ? name : link, won ? ` ★ ${say("won")}` : null),
      columns.map((key) => element("td", {}, values[key] === undefined ? "" : number(values[key]))));
  }

  return { build, show };
})();
