"use strict";

/** One picture: what the network says of it, where it looks, and what is nearest to it in training. */
const PictureView = (() => {
  const { element, say, number, percent } = Dom;
  const TOP = 5;
  const SALIENCY_RANGE = 0.995; // of the pixels are on the scale: few large ones would leave the others dark
  const OVERLAYS = ["none", "grad_cam", "occlusion", "saliency"];
  let stage, parts, overlay = "none", opacity = 0.6, patch = null, showsAll = false, known = null;

  function build(panel) {
    stage = new Paint.Stage();
    parts = Object.fromEntries(["scores", "controls", "legend", "covered", "neighbours"]
      .map((name) => [name, element("div", { class: name === "controls" ? name : null })]));
    const hint = element("p", { class: "quiet", id: "stage-hint" });
    panel.append(
      element("h2", {}, say("picture_heading")),
      element("div", { class: "columns" },
        element("div", { class: "figure" }, stage.element, parts.legend, hint, parts.covered),
        element("div", {},
          element("h3", {}, say("scores_heading")), parts.scores,
          element("h3", {}, say("overlay_heading")), parts.controls,
          element("h3", {}, say(App.data.same_collection ? "others_heading" : "neighbours_heading")), parts.neighbours)));
    parts.hint = hint;
    const target = stage.element;
    target.addEventListener("pointermove", (event) => cover(patchUnder(event)));
    target.addEventListener("pointerdown", (event) => cover(patchUnder(event)));
    target.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") cover(null); });
    target.addEventListener("keydown", (event) => {
      const [rows, columns] = grid() || [0, 0];
      if (!rows) return;
      const next = Paint.moved(event.key, patch || [0, 0], rows, columns);
      if (!next && event.key !== "Escape") return;
      event.preventDefault();
      cover(next && (patch ? next : [0, 0]), true);
    });
  }

  const picture = () => App.data.pictures[App.state.picture];

  async function show({ picture: k, network }) {
    if (known !== k) [known, patch, showsAll] = [k, null, false];
    stage.picture(App.pixelsOf(k), App.pictureShape(k));
    const canCover = picture().occlusion !== null;
    const attributes = { tabindex: canCover ? 0 : null, role: canCover ? "application" : "img",
      "aria-label": say(canCover ? "stage_label" : "stage_label_plain", { name: picture().name }) };
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null) stage.element.removeAttribute(name);
      else stage.element.setAttribute(name, value);
    }
    parts.hint.textContent = canCover ? say("cover_hint") : "";
    scores(network);
    controls();
    neighbours();
    cover(patch);
    await paintOverlay();
  }

  // ---- scores

  function scores() {
    const answers = App.data.networks.map((_, n) => App.answer(App.state.picture, n));
    const { p } = answers[App.scoring()];
    const ranked = p.map((_, k) => k).sort((a, b) => p[b] - p[a]);
    const shown = showsAll ? ranked : ranked.slice(0, TOP);
    const { label } = picture();
    Dom.rebuild(parts.scores, () => parts.scores.replaceChildren(
      App.scoring() === App.state.network ? ""
        : element("p", { class: "note" }, say("no_scores", of(App.state.network))),
      bars(shown.map((k) => ({
        name: App.className(k) + (k === label ? ` (${say("true_mark")})` : ""),
        values: answers.map((answer, n) => answer && { p: answer.p[k], text: of(n).network }).filter(Boolean),
      }))),
      ranked.length > TOP ? element("button", {
        class: "small", "aria-label": say("all_classes", { count: ranked.length }),
        "aria-expanded": String(showsAll),
        onclick: () => { showsAll = !showsAll; scores(); },
      }, say(showsAll ? "fewer_classes" : "all_classes", { count: ranked.length })) : ""));
  }

  /** Bars of probabilities: for each name one bar, or one for each network. */
  function bars(rows) {
    return element("ol", { class: "scores" }, rows.map(({ name, values }) => element("li", {},
      element("span", { class: "name" }, name),
      values.map(({ p, text }, n) => {
        const bar = element("span", { class: n ? "bar second" : "bar", "aria-hidden": "true" }, element("i"));
        bar.firstChild.style.width = `${100 * p}%`;
        return [bar, element("span", { class: "value" }, percent(p)),
          values.length > 1 ? element("span", { class: "quiet of" }, text) : null];
      }))));
  }

  // ---- overlays

  /** The classes that an overlay can be shown for. */
  function classesOf(name) {
    const found = name === "saliency" ? null : picture()[name];
    return found ? found.classes : App.data.classes.map((_, k) => k);
  }

  function overlayClass() {
    const classes = classesOf(overlay), k = App.chosenClass();
    return classes.includes(k) ? k : classes[0];
  }

  const available = () =>
    OVERLAYS.filter((name) => name === "none" || name === "saliency" || picture()[name]);

  function controls() {
    const there = available();
    if (!there.includes(overlay)) overlay = "none";
    const shown = `${there} ${overlay}`;
    if (parts.controls.dataset.shown === shown) return fillClasses();
    parts.classes = element("span");
    const chooseOverlay = (value) => {
      overlay = value;
      fillClasses();
      paintOverlay();
    };
    parts.controls.replaceChildren(
      Dom.choice("overlay", say("overlay"), there.map((name) => [name, say(`overlay_${name}`)]), overlay,
        chooseOverlay),
      parts.classes,
      element("label", { class: "select" }, `${say("opacity")} `, element("input", {
        type: "range", min: 0, max: 1, step: 0.05, value: opacity,
        oninput: (event) => {
          opacity = Number(event.target.value);
          stage.layer.style.opacity = overlay === "none" ? 0 : opacity;
        },
      })));
    fillClasses();
  }

  function fillClasses() {
    parts.controls.dataset.shown = `${available()} ${overlay}`;
    if (overlay === "none") parts.classes.replaceChildren();
    else {
      const options = classesOf(overlay).map((k) => [k, App.className(k)]);
      Dom.rebuild(parts.classes, () => parts.classes.replaceChildren(
        Dom.select(say("for_class"), options, overlayClass(), (k) => App.go({ class: k }))));
    }
  }

  async function paintOverlay() {
    const now = () => JSON.stringify([overlay, App.state]), asked = now();
    const k = overlay === "none" ? null : overlayClass();
    const { canvas, scale, text, smooth } = overlay === "none" ? {} : await PAINT[overlay](k);
    if (asked !== now()) return; // something else was chosen meanwhile
    stage.overlay(canvas || null, opacity, smooth);
    const legend = [scale && Paint.legend(scale), text && element("p", { class: "quiet" }, text)];
    parts.legend.replaceChildren(...legend.filter(Boolean));
  }

  const PAINT = {
    grad_cam(k) {
      const { classes, maps } = picture().grad_cam;
      const [, h, w] = App.data.arrays[maps].shape, scale = { colours: "sequential", low: 0, high: 1 };
      const values = Float32Array.from(App.array(maps), (v) => v / 255);
      const canvas = Paint.map(values, classes.indexOf(k) * h * w, h, w, scale);
      const text = say("grad_cam_text", { name: App.className(k), ...first() });
      return { canvas, scale, text, smooth: true };
    },
    occlusion(k) {
      const [rows, columns] = grid();
      const now = App.answer(App.state.picture).p[k];
      const falls = Float32Array.from({ length: rows * columns }, (_, at) => now - covered(at, k));
      const scale = { ...Paint.signedScale(falls), colours: "clear" };
      const canvas = Paint.map(falls, 0, rows, columns, scale);
      const side = picture().occlusion.stride; // the last cells may reach beyond the picture
      const [h, w] = App.pictureShape(App.state.picture);
      const whole = element("canvas", { width: w, height: h }), context = whole.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(canvas, 0, 0, columns * side, rows * side);
      return { canvas: whole, scale, text: say("occlusion_text", { name: App.className(k), ...first() }) };
    },
    async saliency(k) {
      const gradient = (await App.gradients(k, App.scoring()))[0];
      if (!gradient) return { text: say("no_gradient") };
      const [C, h, w] = App.data.input.shape;
      const { canvas, scale } = saliency(gradient, C, h, w);
      return { canvas, scale, text: say("saliency_text", { name: App.className(k), ...of(App.scoring()) }) };
    },
  };

  const of = (network) => ({ network: App.data.networks[network].name });
  const first = () => of(0); // what was computed when the page was made, is of the first network

  /** |d score / d pixel|, the largest of the channels. */
  function saliency(gradient, C, h, w) {
    const most = new Float32Array(h * w);
    for (let c = 0; c < C; c++) {
      for (let k = 0; k < h * w; k++) most[k] = Math.max(most[k], Math.abs(gradient[c * h * w + k]));
    }
    const high = Float32Array.from(most).sort()[Math.floor(SALIENCY_RANGE * (most.length - 1))];
    const scale = { colours: "sequential", low: 0, high: high || 1, isOpen: true };
    return { canvas: Paint.map(most, 0, h, w, scale), scale };
  }

  // ---- covering a patch

  function grid() {
    const { occlusion } = picture();
    return occlusion && App.data.arrays[occlusion.probabilities].shape.slice(0, 2);
  }

  /** The probability of class k while the patch lies on a cell. */
  function covered(cell, k) {
    const { probabilities, classes } = picture().occlusion;
    return App.array(probabilities)[cell * classes.length + classes.indexOf(k)];
  }

  function patchUnder(event) {
    if (!grid()) return null;
    const { stride } = picture().occlusion, [rows, columns] = grid();
    const [h, w] = App.pictureShape(App.state.picture);
    const [r, c] = Paint.under(event, stage.element, h, w);
    return [Math.min(Math.floor(r / stride), rows - 1), Math.min(Math.floor(c / stride), columns - 1)];
  }

  /** The patch is centred on its cell, as in minicnn.viz.occlusion. */
  function patchArea([r, c]) {
    const { patch: size, stride } = picture().occlusion;
    const [top, left] = [r, c].map((at) => Math.floor(((2 * at + 1) * stride - size) / 2));
    return [top, left, top + size, left + size];
  }

  function cover(cell, aloud = false) {
    patch = cell;
    stage.box("patch", cell && patchArea(cell));
    if (!cell || !grid()) {
      parts.covered.replaceChildren();
      return;
    }
    const { classes } = picture().occlusion, at = cell[0] * grid()[1] + cell[1];
    const now = App.answer(App.state.picture).p;
    const rows = classes.map((k) => ({ k, p: covered(at, k) })).sort((a, b) => b.p - a.p);
    parts.covered.replaceChildren(
      element("h3", {}, say("covered_heading")),
      bars(rows.map(({ k, p }) => ({
        name: App.className(k), values: [{ p, text: say("covered") }, { p: now[k], text: say("uncovered") }],
      }))));
    if (aloud) {
      const [{ k, p }] = rows;
      Dom.announce(say("covered_aloud", {
        row: cell[0] + 1, column: cell[1] + 1, name: App.className(k), p: percent(p), before: percent(now[k]),
      }));
    }
  }

  // ---- neighbours

  function neighbours() {
    const { neighbours: found, label } = picture();
    if (!found || !found.length) {
      parts.neighbours.replaceChildren(element("p", { class: "quiet" }, say("no_neighbours")));
      return;
    }
    parts.neighbours.replaceChildren(
      element("p", { class: "quiet" }, say("neighbours_text", first())),
      element("ol", { class: "neighbours" }, found.map(({ training, distance }) => {
        const { name, label: of, thumbnail } = App.data.training[training];
        const other = label !== null && of !== label;
        return element("li", { class: other ? "other" : "" },
          Paint.picture(App.array(thumbnail), App.data.arrays[thumbnail].shape),
          element("span", {}, other ? `≠ ${App.className(of)}` : App.className(of)),
          element("span", { class: "quiet" }, say("distance", { distance: number(distance) })),
          element("span", { class: "quiet name" }, name));
      })));
  }

  return { build, show, saliency };
})();
