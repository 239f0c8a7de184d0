"use strict";

/** What is shown, kept in the address behind the #; the forward passes; what all views share. */
const App = (() => {
  const { element, say } = Dom;
  const VIEWS = {
    mistakes: MistakesView, picture: PictureView, network: NetworkView, neuron: NeuronView,
    backward: BackwardView,
  };
  const PASSES = 4; // are kept: the last two pictures in both networks
  const data = JSON.parse(document.getElementById("data").textContent);
  const passes = new Map();
  const START = { view: "mistakes", picture: 0, network: 0, node: firstLayer(), at: null, class: null };
  const state = { ...START };
  let arrays = null;

  const byId = (id) => document.getElementById(id);

  // ---- the network

  function firstLayer() {
    const k = data.nodes.findIndex((node) => ["Conv2d", "Linear"].includes(node.type));
    return k < 0 ? data.nodes.length - 1 : k;
  }

  const lastNode = data.nodes.length - 1;

  /** [C, H, W] of a node's output; a vector is a map of one pixel in each channel. */
  const mapShape = (k) => {
    const [C, H = 1, W = 1] = data.nodes[k].shape;
    return [C, H, W];
  };

  /** Whether the network before fine-tuning has this node and all that it reads. */
  const computable = data.networks.map((_, network) => {
    const can = [];
    data.nodes.forEach((node) => can.push(node.arrays[network] !== null && node.inputs.every((k) => can[k])));
    return can;
  });

  const notThere = (network) =>
    element("p", { class: "note" }, say("not_there", { network: data.networks[network].name }));

  function nodeName(k) {
    const { path, type } = data.nodes[k];
    if (type === "Input") return say("input");
    return ["Add", "Concat", "Scale"].includes(type) ? `${path} (${typeName(k)})` : path;
  }

  function typeName(k) {
    const { type, config } = data.nodes[k];
    return type === "Identity" && config.of ? config.of : Words[`type_${type}`] || type;
  }

  // ---- classes and pictures

  const className = (k) => (k === null ? say("no_label") : data.classes[k]);

  /** What a network says of a picture, or null. */
  function answer(picture, network = 0) {
    const scores = data.pictures[picture].scores[network];
    if (!scores) return null;
    const p = Engine.probabilities(data, scores);
    const predicted = p.indexOf(Math.max(...p));
    return { p, predicted, probability: p[predicted] };
  }

  const chosenClass = () => state.class ?? answer(state.picture, scoring()).predicted;

  const array = (index) => arrays[index];
  const pixelsOf = (picture) => arrays[data.pictures[picture].pixels];
  const pictureShape = (picture) => data.arrays[data.pictures[picture].pixels].shape;

  // ---- computing

  /** The forward pass of a picture; the last few are kept. */
  function pass(network = state.network, picture = state.picture) {
    const key = `${picture} ${network}`;
    const known = passes.get(key) || newPass(network, picture);
    passes.delete(key);
    passes.set(key, known);
    if (passes.size > PASSES) passes.delete(passes.keys().next().value);
    return known;
  }

  function newPass(network, picture) {
    return new Engine.Pass(data, arrays, network, pixelsOf(picture), data.pictures[picture].opaque);
  }

  const values = (node, network = state.network) =>
    compute("computing", (progress) => pass(network).value(node, progress));
  const gradients = (k, network = state.network) =>
    compute("computing_back", (progress) => pass(network).gradients(k, progress));

  /** The network whose scores are shown: the chosen one, or the first, if that has none of these classes. */
  const scoring = () => (computable[state.network][lastNode] ? state.network : 0);

  let running = 0;

  /** Wait for a job, with its progress shown; what goes wrong is said. */
  async function compute(key, job) {
    const box = byId("progress"), bar = box.querySelector("progress");
    const timer = setTimeout(() => {
      box.hidden = false;
      box.querySelector("span").textContent = say(key);
      Dom.announce(say(key));
    }, 150);
    running += 1;
    try {
      return await job((done, all) => { bar.value = done / all; });
    } finally {
      clearTimeout(timer);
      running -= 1;
      if (!running && !box.hidden) {
        box.hidden = true;
        bar.value = 0;
        Dom.announce(say("computed"));
      }
    }
  }

  // ---- what is shown

  /** Show something else: `changes` to the state. */
  function go(changes, focus = false) {
    const next = { ...state, ...changes };
    if (next.picture !== state.picture && !("class" in changes)) next.class = null;
    if (next.node !== state.node && !("at" in changes)) next.at = null;
    const moved = next.view !== state.view;
    Object.assign(state, next);
    const hash = address();
    if (location.hash !== hash) location.hash = hash;
    show(moved || focus);
  }

  function address() {
    const { at, class: k, ...rest } = state;
    const parts = new URLSearchParams(rest);
    if (at) parts.set("at", at.join("."));
    if (k !== null) parts.set("class", k);
    return `#${parts}`;
  }

  /** The state from the address; where that says nothing, or what makes no sense, it is as at the start. */
  function read() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const index = (name, count) => {
      const k = Number(parts.get(name));
      return parts.has(name) && Number.isInteger(k) && k >= 0 && k < count ? k : START[name];
    };
    state.view = Object.keys(VIEWS).includes(parts.get("view")) ? parts.get("view") : START.view;
    state.picture = index("picture", data.pictures.length);
    state.network = index("network", data.networks.length);
    state.node = index("node", data.nodes.length);
    state.class = index("class", data.classes.length);
    const at = (parts.get("at") || "").split(".").map(Number);
    const sizes = mapShape(state.node);
    const isInside = (k, axis) => Number.isInteger(k) && k >= 0 && k < sizes[axis];
    state.at = at.length === 3 && at.every(isInside) ? at : null;
  }

  async function show(focus) {
    for (const name of Object.keys(VIEWS)) {
      byId(name).hidden = name !== state.view;
      byId(`tab-${name}`).setAttribute("aria-selected", name === state.view);
      byId(`tab-${name}`).tabIndex = name === state.view ? 0 : -1;
    }
    showContext();
    byId("problem").textContent = "";
    const view = state.view;
    try {
      const shown = VIEWS[view].show(state);
      if (focus) {
        const heading = byId(view).querySelector("h2");
        heading.tabIndex = -1;
        heading.focus({ preventScroll: true });
        window.scrollTo({ top: 0 });
      }
      await shown;
    } catch (error) {
      byId("problem").textContent = say("problem", { error: error.message });
      console.error(error);
    }
  }

  /** The chosen picture and the switch between the networks, above all views but the first. */
  function showContext() {
    const { picture, network, view } = state;
    const context = byId("context");
    context.hidden = view === "mistakes";
    const { name, label } = data.pictures[picture];
    const found = answer(picture, network);
    context.querySelector(".name").textContent = name;
    context.querySelector(".facts").textContent = [
      label === null ? null : say("true_class", { name: className(label) }),
      found ? say("says", { name: className(found.predicted), p: Dom.percent(found.probability) }) : null,
    ].filter(Boolean).map((fact) => `· ${fact}`).join(" ");
    Paint.picture(pixelsOf(picture), pictureShape(picture), context.querySelector("canvas"));
    for (const input of context.querySelectorAll("input")) input.checked = Number(input.value) === network;
  }

  function build() {
    const tabs = byId("tabs");
    for (const part of [tabs, tabs.parentElement]) part.setAttribute("aria-label", say("tabs"));
    tabs.append(...Object.keys(VIEWS).map((name) => element("button", {
      role: "tab", id: `tab-${name}`, "aria-controls": name, onclick: () => go({ view: name }),
    }, say(`tab_${name}`))));
    document.documentElement.lang = Words.language;
    Dom.rove(tabs, "button");
    const step = (by, key, sign) => element("button", {
      class: "small", "aria-label": say(key), title: say(key),
      onclick: () => go({ picture: (state.picture + by + data.pictures.length) % data.pictures.length }),
    }, sign);
    byId("context").append(
      element("canvas", { class: "thumbnail", "aria-hidden": "true" }),
      element("p", {}, element("span", { class: "name" }), " ", element("span", { class: "facts quiet" })),
      element("span", { class: "steps" }, step(-1, "previous_picture", "‹"), step(1, "next_picture", "›")));
    if (data.networks.length > 1) {
      const options = data.networks.map(({ name }, k) => [String(k), name]);
      byId("context").append(Dom.choice("network", say("network_switch"), options, String(state.network),
        (value) => go({ network: Number(value) })));
    }
    byId("summary").textContent = summary();
    byId("made").textContent = say("made", {
      version: data.made.minicnn, date: data.made.date, same: data.rounding.same, of: data.rounding.of,
    }) + (data.views > 1 ? ` ${say("views", { views: data.views })}` : "");
    for (const [name, view] of Object.entries(VIEWS)) view.build(byId(name));
  }

  function summary() {
    const total = (key) => data.nodes.reduce((sum, node) => sum + node[key], 0);
    return say("summary", {
      pictures: data.pictures.length, classes: data.classes.length, nodes: data.nodes.length,
      parameters: Dom.quantity(total("parameters")), operations: Dom.quantity(total("multiply_adds")),
    });
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      byId("problem").textContent = say("old_browser");
      return;
    }
    arrays = await compute("decoding", () => Decode.arrays(data.arrays, byId("arrays").textContent));
    byId("arrays").textContent = ""; // some megabytes of text that are not needed any more
    build();
    read();
    window.addEventListener("hashchange", () => {
      if (location.hash === address()) return;
      const { view } = state;
      read();
      show(view !== state.view);
    });
    document.documentElement.dataset.ready = "yes";
    await show(false);
  }

  return {
    data, state, start, go, pass, values, gradients, array, arrays: () => arrays, answer, className,
    chosenClass, scoring, computable, notThere, pixelsOf, pictureShape, mapShape, nodeName, typeName,
    lastNode,
  };
})();

App.start();
