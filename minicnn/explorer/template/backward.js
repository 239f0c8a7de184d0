"use strict";

/** The backward pass: gradients of a class's score, node by node from the score down to the picture. */
const BackwardView = (() => {
  const { element, say, number } = Dom;
  const MAPS = 16; // at once
  // milliseconds: a step at least, a step at most, all steps together
  const [SHORTEST, LONGEST, WHOLE] = [250, 1200, 25000];
  let parts, gradients = null, known = null, step = 0, timer = null;

  const last = () => App.lastNode;
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  function build(panel) {
    const button = (text, onclick) => element("button", { class: "small", onclick }, say(text));
    parts = {
      classes: element("span"), play: button("play", () => (timer ? stop() : play())), body: element("div"),
      slider: element("input", {
        type: "range", min: 0, max: last(), value: 0, "aria-label": say("step"),
        oninput: (event) => { stop(); goTo(Number(event.target.value)); },
      }),
      where: element("p", { class: "where" }),
    };
    panel.append(
      element("h2", {}, say("backward_heading")),
      element("p", {}, say("backward_text")),
      element("div", { class: "controls" }, parts.classes,
        element("span", { class: "steps" }, parts.play,
          button("step_back", () => { stop(); goTo(step - 1); }),
          button("step_on", () => { stop(); goTo(step + 1); }))),
      parts.slider, parts.where, parts.body);
    if (still()) {
      parts.play.hidden = true;
      panel.insertBefore(element("p", { class: "quiet" }, say("no_motion")), parts.slider);
    }
  }

  async function show({ picture, network, view }) {
    const k = App.chosenClass(), asked = `${picture} ${network} ${k}`;
    if (asked === known && gradients) return;
    stop();
    [known, gradients] = [asked, null];
    const options = App.data.classes.map((name, c) => [c, name]);
    Dom.rebuild(parts.classes, () => parts.classes.replaceChildren(
      Dom.select(say("score_of"), options, k, (c) => App.go({ class: c }))));
    parts.body.replaceChildren(element("p", { class: "quiet" }, say("computing_back")));
    parts.where.textContent = "";
    if (!App.computable[network][last()]) {
      parts.body.replaceChildren(App.notThere(network));
      return;
    }
    const found = await App.gradients(k);
    if (known !== asked) return;
    gradients = found;
    goTo(step);
  }

  function goTo(to) {
    if (!gradients) return;
    step = Math.min(Math.max(to, 0), last());
    const k = last() - step; // from the score to the picture
    parts.slider.value = step;
    const name = App.nodeName(k), type = App.typeName(k);
    const both = name.includes(type) ? name : `${name} (${type})`;
    const text = say("backward_where", { step: step + 1, steps: last() + 1, name: both });
    parts.slider.setAttribute("aria-valuetext", text);
    parts.where.textContent = text;
    parts.body.replaceChildren(...content(k));
  }

  function content(k) {
    const node = App.data.nodes[k], dy = gradients[k];
    if (!dy) return [element("p", { class: "note" }, say("no_gradient"))];
    const arrived = App.data.nodes.map((_, i) => i).filter((i) => App.data.nodes[i].inputs.includes(k));
    const how = arrived.map((i) => element("li", {}, element("b", {}, App.nodeName(i)), ": ",
      Words[`back_${App.data.nodes[i].type}`] || say("back_other")));
    const text = k === last() ? "back_start" : k === 0 ? "back_end" : "back_middle";
    return [
      element("p", {}, say(text, { name: App.className(App.chosenClass()) })),
      how.length ? element("ul", {}, how) : null,
      k === 0 ? saliency(dy) : null,
      drawn(k, dy, node),
    ].filter(Boolean);
  }

  function drawn(k, dy) {
    const [C, H, W] = App.mapShape(k);
    const heading = element("h3", {}, say("gradients_heading", { name: App.nodeName(k) }));
    if (H * W === 1) {
      return element("div", {}, heading,
        VectorBars(dy, largest(dy), (d) => App.go({ view: "neuron", node: k, at: [d, 0, 0] })));
    }
    const tiles = new Tiles({
      values: dy, C, H, W, signed: true, page: MAPS, sorted: "strength", unit: say("gradient_unit"),
      label: (c, from, to) =>
        say("gradient_label", { map: c, most: number(Paint.signedScale(dy, from, to).high) }),
      choose: (c) => App.go({ view: "network", node: k, at: [c, ...strongest(dy, c, H, W)] }),
    });
    return element("div", {}, heading, tiles.element);
  }

  const largest = (values) =>
    values.reduce((best, v, k) => (Math.abs(v) > Math.abs(values[best]) ? k : best), 0);

  function strongest(dy, c, H, W) {
    const at = largest(dy.subarray(c * H * W, (c + 1) * H * W));
    return [Math.floor(at / W), at % W];
  }

  function saliency(gradient) {
    const [C, H, W] = App.data.input.shape;
    const { canvas, scale } = PictureView.saliency(gradient, C, H, W);
    const picture = Paint.picture(App.pixelsOf(App.state.picture), App.pictureShape(App.state.picture));
    return element("div", { class: "pair" },
      element("figure", {}, picture, element("figcaption", {}, say("the_picture"))),
      element("figure", { class: "saliency" }, canvas, element("figcaption", {}, say("saliency_text", {
        name: App.className(App.chosenClass()), network: App.data.networks[App.state.network].name,
      }),
        Paint.legend(scale))));
  }

  // ---- playing

  function play() {
    if (!gradients) return;
    if (step === last()) goTo(0);
    parts.play.textContent = say("pause");
    const wait = Math.min(Math.max(WHOLE / last(), SHORTEST), LONGEST);
    timer = setInterval(() => {
      if (step === last() || App.state.view !== "backward") stop();
      else goTo(step + 1);
    }, wait);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    parts.play.textContent = say("play");
  }

  return { build, show };
})();
