"use strict";

/** Pictures, maps and bars on canvases, and their colour scales. */
const Paint = (() => {
  const { element, say, number } = Dom;

  // Colours at equal distances; between them they are interpolated.
  const COLOURS = {
    grey: [[0, 0, 0], [255, 255, 255]],
    clear: [[40, 150, 255], [40, 150, 255], [255, 120, 0], [255, 120, 0]], // above pictures; 0 is transparent
    diverging: [
      [0, 58, 112], [0, 114, 178], [128, 185, 217], [255, 255, 255],
      [240, 174, 128], [213, 94, 0], [122, 48, 0],
    ],
    sequential: [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], // viridis
  };
  const TABLES = Object.fromEntries(Object.entries(COLOURS).map(([name, colours]) => [name, table(colours)]));

  function table(colours) {
    const made = new Uint8ClampedArray(3 * 256);
    for (let k = 0; k < 256; k++) {
      const at = k / 255 * (colours.length - 1), below = Math.min(Math.floor(at), colours.length - 2);
      for (let c = 0; c < 3; c++) {
        made[3 * k + c] = colours[below][c] + (at - below) * (colours[below + 1][c] - colours[below][c]);
      }
    }
    return made;
  }

  function range(values, from = 0, to = values.length) {
    let low = Infinity, high = -Infinity;
    for (let k = from; k < to; k++) {
      if (values[k] < low) low = values[k];
      if (values[k] > high) high = values[k];
    }
    return low > high ? [0, 0] : [low, high];
  }

  /** Grey from 0 to the largest value; where there are values below zero, two colours, white at zero. */
  function scaleOf(values, from, to) {
    const [low, high] = range(values, from, to);
    return low < 0 ? signedScale(values, from, to) : { colours: "grey", low: 0, high: high || 1 };
  }

  /** A gradient scale: always of two colours. */
  function signedScale(values, from, to) {
    const [low, high] = range(values, from, to);
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { colours: "diverging", low: -most, high: most };
  }

  /** h x w values, from `offset`, as a canvas of h x w pixels. */
  function map(values, offset, h, w, scale, canvas = element("canvas")) {
    const colours = TABLES[scale.colours], factor = 255 / (scale.high - scale.low);
    [canvas.width, canvas.height] = [w, h];
    const image = new ImageData(w, h);
    for (let k = 0; k < h * w; k++) {
      const level = Math.round((values[offset + k] - scale.low) * factor);
      const at = 3 * Math.min(Math.max(level || 0, 0), 255);
      const opacity = scale.colours === "clear" ? Math.min(Math.abs(values[offset + k]) / scale.high, 1) : 1;
      image.data.set([colours[at], colours[at + 1], colours[at + 2], 255 * opacity], 4 * k);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  /** Pixels of shape (h, w, 3) or (h, w, 1), 0 to 255. */
  function picture(pixels, [h, w, channels = 1], canvas = element("canvas")) {
    [canvas.width, canvas.height] = [w, h];
    const image = new ImageData(w, h);
    for (let k = 0; k < h * w; k++) {
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[channels * k + (channels === 3 ? c : 0)];
      image.data[4 * k + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  /** A filter over three colours: (3, h, w) from `offset`; grey is no weight. */
  function colourFilter(weights, offset, h, w, reversed) {
    const [low, high] = range(weights, offset, offset + 3 * h * w);
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    const pixels = new Uint8ClampedArray(3 * h * w);
    for (let c = 0; c < 3; c++) {
      for (let k = 0; k < h * w; k++) {
        pixels[3 * k + (reversed ? 2 - c : c)] = 127.5 + 127.5 * weights[offset + c * h * w + k] / most;
      }
    }
    return picture(pixels, [h, w, 3]);
  }

  /** A bar for each value, from zero upwards or downwards; that of `marked` has another colour. */
  function bars(values, marked = -1, canvas = element("canvas", { class: "bars" })) {
    const style = getComputedStyle(document.documentElement);
    const [low, high] = range(values), bottom = Math.min(low, 0), top = Math.max(high, 0);
    const width = Math.max(1, Math.floor(640 / values.length)), height = 120;
    [canvas.width, canvas.height] = [width * values.length, height];
    canvas.style.maxWidth = `${3 * values.length}rem`;
    const y = (v) => (height - 1) * (top - v) / (top - bottom || 1);
    const context = canvas.getContext("2d");
    for (let k = 0; k < values.length; k++) {
      context.fillStyle = style.getPropertyValue(k === marked ? "--accent" : "--bar");
      const [from, to] = [y(values[k]), y(0)].sort((a, b) => a - b);
      context.fillRect(k * width, from, width > 3 ? width - 1 : width, Math.max(to - from, 1));
      if (k === marked && width < 6) context.fillRect(k * width - 1, 0, 3, height); // where bars are thin
    }
    return canvas;
  }

  /** The scale in words: a strip of its colours between its ends. */
  function legend(scale, unit = "") {
    const values = Float32Array.from({ length: 64 }, (_, k) => scale.low + (scale.high - scale.low) * k / 63);
    const strip = map(values, 0, 1, 64, scale, element("canvas", { "aria-hidden": "true" }));
    return element("p", { class: "legend" },
      element("span", {}, number(scale.low)), strip,
      element("span", {}, (scale.isOpen ? "≥ " : "") + number(scale.high)),
      unit ? element("span", { class: "quiet" }, unit) : null,
      element("span", { class: "quiet" }, say(`scale_${scale.colours}`)));
  }

  /** A picture with layers above it: a map, and boxes in pixels of the picture. */
  class Stage {
    constructor(attributes = {}) {
      this.base = element("canvas", { "aria-hidden": "true" });
      this.layer = element("canvas", { "aria-hidden": "true", class: "layer" });
      this.boxes = {};
      this.element = element("div", { class: "stage", ...attributes }, this.base, this.layer);
    }

    picture(pixels, shape) {
      picture(pixels, shape, this.base);
      this.shape = shape;
    }

    overlay(canvas, opacity, smooth = false) {
      [this.layer.width, this.layer.height] = canvas ? [canvas.width, canvas.height] : [1, 1];
      if (canvas) this.layer.getContext("2d").drawImage(canvas, 0, 0);
      this.layer.style.opacity = canvas ? opacity : 0;
      this.layer.classList.toggle("smooth", smooth);
    }

    /** A frame around rows top..bottom and columns left..right, ends excluded; null takes it away. */
    box(name, area) {
      const [h, w] = this.shape;
      if (!this.boxes[name]) this.element.append(this.boxes[name] = element("div", { class: `box ${name}` }));
      const style = this.boxes[name].style;
      style.display = area ? "block" : "none";
      if (!area) return;
      const [top, left] = [Math.max(area[0], 0), Math.max(area[1], 0)];
      const [bottom, right] = [Math.min(area[2], h), Math.min(area[3], w)];
      Object.assign(style, {
        top: `${100 * top / h}%`, height: `${100 * Math.max(bottom - top, 0) / h}%`,
        left: `${100 * left / w}%`, width: `${100 * Math.max(right - left, 0) / w}%`,
      });
    }
  }

  /** [row, column] of a grid of rows x columns under the pointer. */
  function under(event, target, rows, columns) {
    const box = target.getBoundingClientRect();
    const at = (position, size, n) => Math.min(Math.max(Math.floor(position / size * n), 0), n - 1);
    return [at(event.clientY - box.top, box.height, rows), at(event.clientX - box.left, box.width, columns)];
  }

  /** The cell that an arrow key leads to, or null for other keys. */
  function moved(key, [r, c], rows, columns) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
    if (!step) return null;
    return [Math.min(Math.max(r + step[0], 0), rows - 1), Math.min(Math.max(c + step[1], 0), columns - 1)];
  }

  return { map, picture, colourFilter, bars, legend, range, scaleOf, signedScale, Stage, under, moved };
})();
