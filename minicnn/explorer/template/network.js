"use strict";

/** The network as a list of layers with their connections. */
const NetworkGraph = (() => {
  const { element, say, quantity, percent } = Dom;
  const LANE = 10, EDGE = 14, MOST_LANES = 6; // pixels between lines, and from the rightmost one to the rows
  let box, drawing, groups, rows, most;

  function build(parent) {
    groups = groupsOf(App.data.nodes);
    most = Math.max(...App.data.nodes.map(({ moved }) => moved || 0), 1e-9);
    rows = new Map();
    drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawing.setAttribute("aria-hidden", "true");
    box = element("div", { class: "graph" }, drawing,
      element("ol", { "aria-label": say("graph_label") }, groups.map(groupItem)));
    parent.append(box);
    Dom.rove(box, "button.row");
    new ResizeObserver(drawEdges).observe(box);
  }

  /** Nodes that follow one another in the same top-level layer. */
  function groupsOf(nodes) {
    const found = [];
    nodes.forEach(({ group }, k) => {
      const last = found[found.length - 1];
      if (last && last.name === group && group) last.nodes.push(k);
      else found.push({ name: group, nodes: [k] });
    });
    return found;
  }

  function groupItem(group) {
    if (group.nodes.length === 1) return element("li", {}, nodeRow(group.nodes[0]));
    const nodes = group.nodes.map((k) => App.data.nodes[k]);
    const inner = element("ol", { hidden: true },
      group.nodes.map((k) => element("li", {}, nodeRow(k, group.name))));
    group.button = rowButton({
      name: group.name, type: say("nodes", { count: nodes.length }), shape: nodes[nodes.length - 1].shape,
      ...totals(nodes),
    }, () => open(group, inner.hidden));
    group.button.classList.add("group");
    group.button.setAttribute("aria-expanded", "false");
    group.inner = inner;
    return element("li", {}, group.button, inner);
  }

  function open(group, isOpen) {
    group.inner.hidden = !isOpen;
    group.button.setAttribute("aria-expanded", String(isOpen));
    drawEdges();
  }

  function totals(nodes) {
    const sum = (key) => nodes.reduce((total, node) => total + node[key], 0);
    const states = new Set(nodes.map(({ trainable }) => trainable).filter((state) => state !== "-"));
    const moved = nodes.map((node) => node.moved).filter((m) => m !== null);
    return {
      parameters: sum("parameters"), multiply_adds: sum("multiply_adds"),
      trainable: states.size === 0 ? "-" : states.size === 1 ? [...states][0] : "partly",
      moved: moved.length ? Math.max(...moved) : null, several: moved.length > 1,
    };
  }

  function nodeRow(k, group = "") {
    const node = App.data.nodes[k];
    const short = group && node.path.startsWith(`${group}.`) ? node.path.slice(group.length + 1) : node.path;
    const name = node.type === "Input" ? say("input") : short;
    const button = rowButton({ ...node, name, type: App.typeName(k) }, () => pick(k));
    if (node.inputs.some((i) => i !== k - 1)) {
      const names = node.inputs.map(App.nodeName).join(", ");
      button.append(element("span", { class: "hidden" }, say("reads", { names })));
    }
    rows.set(k, button);
    return button;
  }

  /** Name, type, shape, costs, whether it is trained, and how far it has moved. */
  function rowButton({ name, type, shape, trainable, moved, several, arrays, ...costs }, choose) {
    const isNew = arrays !== undefined && arrays[1] === null; // not in the network before
    const facts = costText(costs, quantity);
    return element("button", { class: "row", onclick: choose, tabindex: -1 },
      element("span", { class: "name" }, name), element("span", { class: "type" }, type),
      element("span", { class: "shape" }, shape.join(" × ")),
      facts ? element("span", { class: "facts quiet" }, facts) : null,
      trainable === "-" ? null : element("span", { class: `trained ${trainable}` },
        say(`trainable_${trainable}`),
        isNew ? ` · ${say("new_layer")}` : moved === null ? null : movedBar(moved, several)));
  }

  /** Parameters and multiply-adds, those that there are. */
  const costText = (node, format) => ["parameters", "multiply_adds"].filter((key) => node[key])
    .map((key) => say(key, { count: format(node[key]) })).join(" · ");

  function movedBar(moved, several) {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
    bar.firstChild.style.width = `${100 * moved / most}%`;
    const text = say(!moved ? "unmoved" : several ? "moved_most" : "moved", { percent: percent(moved) });
    return element("span", { class: "moved" }, " · ", text, moved ? bar : null);
  }

  /** On narrow screens, what is chosen is shown below the list. */
  function pick(k) {
    App.go({ node: k });
    if (box.parentElement.getBoundingClientRect().right < innerWidth / 2) return;
    const heading = document.querySelector("#network .detail h3");
    heading.focus({ preventScroll: true });
    heading.scrollIntoView();
  }

  /** Mark the chosen node, and open the group that it is in. */
  function choose(k) {
    const group = groups.find(({ nodes }) => nodes.includes(k));
    if (group.inner && group.inner.hidden) open(group, true);
    for (const [node, button] of rows) {
      if (node === k) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    Dom.setStop([...box.querySelectorAll("button.row")], rows.get(k));
    drawEdges();
    const row = rows.get(k), list = box.parentElement; // scrolls in itself on wide screens
    if (list.scrollHeight > list.clientHeight) list.scrollTop = row.offsetTop - list.clientHeight / 2;
  }

  /** The row that stands for a node: its own, or its group's while that is closed. */
  function visibleRow(k) {
    const group = groups.find(({ nodes }) => nodes.includes(k));
    return group.inner && group.inner.hidden ? group.button : rows.get(k);
  }

  function drawEdges() {
    if (!box.offsetParent) return; // not shown
    const top = box.getBoundingClientRect().top;
    const middle = (row) => {
      const bounds = row.getBoundingClientRect();
      return bounds.top - top + bounds.height / 2;
    };
    const visible = [...new Set(App.data.nodes.map((_, k) => visibleRow(k)))];
    const place = new Map(visible.map((row, at) => [row, at]));
    const edges = new Map();
    App.data.nodes.forEach(({ inputs }, k) => inputs.forEach((i) => {
      const [from, to] = [visibleRow(i), visibleRow(k)];
      if (from !== to) edges.set(`${place.get(from)} ${place.get(to)}`, [from, to]);
    }));
    const length = ([from, to]) => place.get(to) - place.get(from);
    const sorted = [...edges.values()].sort((a, b) => length(a) - length(b));
    const lanes = [];
    const lines = sorted.map(([from, to]) => {
      const [a, b] = [place.get(from), place.get(to)];
      const lane = b === a + 1 ? 0 : freeLane(lanes, a, b);
      return { lane, from: middle(from), to: middle(to) };
    });
    const gutter = EDGE + LANE * Math.min(lanes.length, MOST_LANES) + 6;
    box.style.setProperty("--gutter", `${gutter}px`);
    drawing.setAttribute("width", gutter);
    drawing.setAttribute("height", box.scrollHeight);
    drawing.replaceChildren(
      ...lines.map(({ lane, from, to }) => shape("path", { d: line(gutter - EDGE, lane, from, to) })),
      ...visible.map((row) => shape("circle", { cx: gutter - EDGE, cy: middle(row), r: 3 })));
  }

  /** The lane nearest to the rows in which no other line runs between rows a and b. */
  function freeLane(lanes, a, b) {
    const free = lanes.findIndex((lane) => lane.every(([c, d]) => b <= c || d <= a));
    const lane = free < 0 ? lanes.push([]) - 1 : free;
    lanes[lane].push([a, b]);
    return Math.min(lane + 1, MOST_LANES);
  }

  function line(x, lane, from, to) {
    if (lane === 0) return `M${x} ${from}V${to}`;
    const out = x - lane * LANE, r = 6;
    const corner = (x1, y1, x2, y2) => `Q${x1} ${y1} ${x2} ${y2}`;
    const [above, below] = [corner(out, from, out, from + r), corner(out, to, out + r, to)];
    return `M${x} ${from}H${out + r}${above}V${to - r}${below}H${x}`;
  }

  function shape(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  return { build, choose, costText };
})();

/** The network: the list, and beside it what the chosen node computes for the chosen picture. */
const NetworkView = (() => {
  const { element, say, number, count, percent } = Dom;
  let detail, known = null;
  let maps = null; // of the chosen node: {tiles, large, k, values, chosen: the map that is shown large}
  let takesFocus = false; // the large map, once it is there

  function build(panel) {
    const list = element("div", { class: "list" });
    detail = element("div", { class: "detail" });
    panel.append(element("h2", {}, say("network_heading")),
      element("div", { class: "columns network" }, list, detail));
    NetworkGraph.build(list);
  }

  async function show({ node, picture, network, at }) {
    const asked = `${node} ${picture} ${network}`;
    NetworkGraph.choose(node);
    if (asked !== known) {
      [known, maps] = [asked, null];
      Dom.rebuild(detail, () => head(node));
      const body = element("div", { class: "body" });
      detail.append(body);
      if (!App.computable[network][node]) {
        body.append(App.notThere(network));
        return;
      }
      body.append(element("p", { class: "quiet" }, say("computing")));
      const values = await App.values(node);
      if (known !== asked) return;
      fill(body, node, values);
    }
    if (maps && at && maps.chosen !== String(at)) showMap(at);
  }

  function head(k) {
    const node = App.data.nodes[k];
    const step = (by, text, sign) => element("button", {
      class: "small", "aria-label": say(text), title: say(text), disabled: !App.data.nodes[k + by],
      onclick: () => App.go({ node: k + by }, false),
    }, sign);
    const link = (i) =>
      element("button", { class: "link", onclick: () => App.go({ node: i }) }, App.nodeName(i));
    const rows = [
      ["type", App.typeName(k)], ["shape", node.shape.join(" × ")],
      ["inputs", node.inputs.map(link)],
      ["config", configText(node.config)],
      ["cost", NetworkGraph.costText(node, count)],
      ["training", node.trainable === "-" ? "" : say(`trainable_${node.trainable}`)],
      ["weights_moved", movedText(node)],
      ["sees", sees(node)],
    ].filter(([, value]) => value.length);
    detail.replaceChildren(
      element("div", { class: "title" }, element("h3", { tabindex: -1 }, App.nodeName(k)),
        element("span", { class: "steps" }, step(-1, "previous_node", "‹"), step(1, "next_node", "›"))),
      element("dl", {}, rows.map(([key, value]) => [
        element("dt", {}, say(`fact_${key}`)), element("dd", {}, value),
      ])));
  }

  function movedText({ arrays, moved }) {
    if (arrays[1] === null) return say("new_layer");
    return moved === null ? "" : moved ? percent(moved) : say("unmoved");
  }

  /** The settings that say something: not the sizes, which the shapes say, and none that change nothing. */
  function configText(config) {
    const without = ["in_channels", "out_channels", "in_features", "out_features"];
    if ("pads" in config) without.push("pad");
    const usual = { stride: 1, dilation: 1, groups: 1, pads: 0, pad: 0 };
    return Object.entries(config)
      .map(([name, value]) => [name, [value].flat()])
      .filter(([name, numbers]) => !without.includes(name) && numbers.every(Number.isFinite)
        && !numbers.every((v) => v === usual[name]))
      .map(([name, numbers]) =>
        `${Words[`config_${name}`] || name} ${numbers.join(name === "pads" ? ", " : " × ")}`)
      .join("; ");
  }

  function sees({ receptive_field: field }) {
    if (!field) return "";
    const size = field.last.map((last, axis) => last - field.first[axis] + 1);
    return say("sees_pixels", { size: size.join(" × "), step: field.stride.join(" × ") });
  }

  function fill(body, k, values) {
    const [C, H, W] = App.mapShape(k);
    body.replaceChildren();
    if (App.data.nodes[k].opaque) body.append(element("p", { class: "note" }, say("opaque")));
    if (H * W === 1) {
      body.append(...vector(k, values));
      return;
    }
    const large = element("div", { class: "large" });
    const tiles = new Tiles({
      values, C, H, W,
      label: (c, from, to) => say("map_label", {
        map: c, mean: number(mean(values, from, to)), most: number(Paint.range(values, from, to)[1]),
      }),
      choose: (c) => {
        takesFocus = true;
        App.go({ at: [c, ...peak(values, c, H, W)] });
      },
    });
    maps = { tiles, large, k, values, chosen: null };
    const text = say("maps_text", { count: C, shape: `${H} × ${W}` });
    body.append(element("p", {}, text), tiles.element, large);
  }

  const mean = (values, from, to) => {
    let sum = 0;
    for (let i = from; i < to; i++) sum += values[i];
    return sum / (to - from);
  };

  function vector(k, values) {
    const top = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 10);
    const areScores = k === App.lastNode && values.length === App.data.classes.length;
    const name = (d) => (areScores ? App.className(d) : say("number_of", { index: d }));
    const at = App.state.at ? App.state.at[0] : top[0];
    return [
      element("p", {}, say("vector_text", { count: values.length })),
      VectorBars(values, at, (d) => App.go({ view: "neuron", at: [d, 0, 0] }), name),
      element("h4", {}, say("largest_values")),
      element("ol", { class: "largest" }, top.map((d) => element("li", {}, element("button", {
        class: "link", onclick: () => App.go({ view: "neuron", at: [d, 0, 0] }),
      }, name(d)), ` ${number(values[d])}`))),
      filterOf(k, at, say("weights_heading", { name: name(at) })),
    ];
  }

  function showMap([c, row, column]) {
    const { tiles, large, k, values } = maps;
    maps.chosen = String([c, row, column]);
    tiles.choose(c);
    large.replaceChildren(...LargeMap(k, values, c, [row, column]), filterOf(k, c));
    if (!takesFocus) return;
    takesFocus = false;
    large.querySelector("[role=application]").focus({ preventScroll: true });
    large.scrollIntoView({ block: "nearest" });
  }

  /** Where a map is largest. */
  function peak(values, c, H, W) {
    const map = values.subarray(c * H * W, (c + 1) * H * W);
    const at = Math.max(map.indexOf(Paint.range(map)[1]), 0);
    return [Math.floor(at / W), at % W];
  }

  function filterOf(k, c, text = say("filter_heading", { map: c })) {
    const drawn = Filters.of(k, c);
    const heading = element("h4", {}, text);
    return drawn ? element("div", { class: "filter" }, heading, drawn) : "";
  }

  return { build, show };
})();
