"use strict";

/*
 * The network's forward and backward pass for one picture, in inference: the equations of minicnn/layers,
 * with the same letters.
 *
 * Values are Float32Array, sums are taken in 64 bits. A map (C, H, W) lies channel after channel, row after
 * row; a row of D numbers counts as D channels of one pixel. x is a node's input and y its output; dx and dy
 * are the gradients of one class's score with respect to them.
 */
const Engine = (() => {
  const size = (shape) => shape.reduce((product, length) => product * length, 1);
  const asMap = ([C, H = 1, W = 1]) => [C, H, W];

  // ---- convolution

  /*
   * y[f, i, j] = b[f] + sum over c, p, q of x_padded[c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] * w[f, c, p, q]
   *
   * where c0 = floor(f / (F / groups)) * C / groups is the first channel that filter f sees. A filter has a
   * map of sums, to which each tap (p, q) of each channel adds the channel's pixels, shifted, times a number.
   */
  function conv2d(node, [x], { w, b }, [shape]) {
    const { P, O, KK, channels, filters, taps } = convolution(node, shape);
    const F = node.shape[0];
    const y = new Float32Array(F * O);
    const sums = new Float64Array(O);
    for (let f = 0; f < F; f++) {
      sums.fill(b ? b[f] : 0);
      const c0 = Math.floor(f / filters) * channels;
      addProducts(sums, x, c0 * P, P, w, f * channels * KK, KK, channels, taps);
      y.set(sums, f * O);
    }
    return y;
  }

  /*
   * dx_padded[c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] += dy[f, i, j] * w[f, c, p, q] for all f, i, j, c, p, q
   *
   * The same sums with the two maps in each other's place: to a channel of dx all filters of its group add.
   */
  function conv2dBackward(node, inputs, y, dy, { w }, [shape]) {
    const { P, O, KK, channels, filters, taps } = convolution(node, shape);
    const C = shape[0];
    const back = taps.map(({ from, to, ...tap }) => ({ ...tap, from: to, to: from }));
    const dx = new Float32Array(C * P);
    const sums = new Float64Array(P);
    for (let c = 0; c < C; c++) {
      sums.fill(0);
      const f0 = Math.floor(c / channels) * filters;
      const w0 = (f0 * channels + (c % channels)) * KK;
      addProducts(sums, dy, f0 * O, O, w, w0, channels * KK, filters, back);
      dx.set(sums, c * P);
    }
    return [dx];
  }

  /** Pixels of a map of x (P) and of y (O), weights for a channel (KK), what a group has; and the taps. */
  function convolution({ config, shape: [F, OH, OW] }, [C, H, W]) {
    const [KH, KW] = config.kernel_size;
    const group = { channels: C / config.groups, filters: F / config.groups };
    return { P: H * W, O: OH * OW, KK: KH * KW, ...group, taps: tapsOf(config, [H, W], [OH, OW]) };
  }

  /**
   * For each tap (p, q) that meets a pixel: its place in the filter, how many rows and columns of windows
   * find a pixel under it, and where these pixels are in x (from) and the windows in y (to):
   * {start, row, column}, the first and the steps.
   */
  function tapsOf({ kernel_size, stride, dilation, pads: [top, , left] }, [H, W], [OH, OW]) {
    const [[KH, KW], [sh, sw], [dil_h, dil_w]] = [kernel_size, stride, dilation];
    const taps = [];
    for (let p = 0; p < KH; p++) {
      for (let q = 0; q < KW; q++) {
        const [i, rows] = windowsWithPixel(p * dil_h - top, sh, H, OH);
        const [j, columns] = windowsWithPixel(q * dil_w - left, sw, W, OW);
        const [h, w] = [i * sh + p * dil_h - top, j * sw + q * dil_w - left];
        const from = { start: h * W + w, row: sh * W, column: sw };
        const to = { start: i * OW + j, row: OW, column: 1 };
        if (rows > 0 && columns > 0) taps.push(asOneRow({ place: p * KW + q, rows, columns, from, to }));
      }
    }
    return taps;
  }

  /** The first i < number with 0 <= i * stride + offset < length, and how many there are. */
  function windowsWithPixel(offset, stride, length, number) {
    const first = Math.max(Math.ceil(-offset / stride), 0);
    const last = Math.min(Math.floor((length - 1 - offset) / stride), number - 1);
    return [first, last - first + 1];
  }

  /** Rows that follow one another without a gap, as those of a 1 x 1 filter do, are one long row. */
  function asOneRow(tap) {
    const { rows, columns, from, to } = tap;
    const gapless = [from, to].every((map) => map.row === columns * map.column);
    return gapless ? { ...tap, rows: 1, columns: rows * columns } : tap;
  }

  /**
   * sums[to] += sum over n < number of w[w0 + n * wStep + place] * x[x0 + n * plane + from], for all taps and
   * windows. Four maps at a time, which saves three quarters of the traffic with the sums.
   */
  function addProducts(sums, x, x0, plane, w, w0, wStep, number, taps) {
    let n = 0;
    for (; n + 4 <= number; n += 4) {
      for (const tap of taps) {
        const at = w0 + n * wStep + tap.place;
        const [first, second, third, fourth] = [w[at], w[at + wStep], w[at + 2 * wStep], w[at + 3 * wStep]];
        addFour(sums, x, x0 + n * plane, plane, first, second, third, fourth, tap);
      }
    }
    for (; n < number; n++) {
      for (const tap of taps) addOne(sums, x, x0 + n * plane, w[w0 + n * wStep + tap.place], tap);
    }
  }

  function addOne(sums, x, x0, w, { rows, columns, from, to }) {
    const fromStep = from.column;
    const toStep = to.column;
    for (let i = 0; i < rows; i++) {
      let s = to.start + i * to.row;
      let a = x0 + from.start + i * from.row;
      for (let j = 0; j < columns; j++, s += toStep, a += fromStep) sums[s] += w * x[a];
    }
  }

  function addFour(sums, x, x0, plane, w0, w1, w2, w3, { rows, columns, from, to }) {
    const fromStep = from.column;
    const toStep = to.column;
    for (let i = 0; i < rows; i++) {
      let s = to.start + i * to.row;
      let a = x0 + from.start + i * from.row;
      let b = a + plane;
      let c = b + plane;
      let d = c + plane;
      for (let j = 0; j < columns; j++) {
        sums[s] += w0 * x[a] + w1 * x[b] + w2 * x[c] + w3 * x[d];
        s += toStep;
        a += fromStep;
        b += fromStep;
        c += fromStep;
        d += fromStep;
      }
    }
  }

  // ---- fully connected

  /* y = w x + b */
  function linear({ shape: [O] }, [x], { w, b }) {
    const D = x.length;
    const y = new Float32Array(O);
    for (let o = 0; o < O; o++) {
      let sum = b ? b[o] : 0;
      for (let d = 0; d < D; d++) sum += w[o * D + d] * x[d];
      y[o] = sum;
    }
    return y;
  }

  /* dx = w^T dy */
  function linearBackward({ shape: [O] }, [x], y, dy, { w }) {
    const D = x.length;
    const dx = new Float64Array(D);
    for (let o = 0; o < O; o++) {
      for (let d = 0; d < D; d++) dx[d] += w[o * D + d] * dy[o];
    }
    return [Float32Array.from(dx)];
  }

  // ---- normalisation

  /* y = gamma * (x - mean) / sqrt(variance + eps) + beta, with the channel's running mean and variance */
  function batchNorm({ config }, [x], { gamma, beta, running_mean, running_var }, [shape]) {
    const [C, H, W] = asMap(shape);
    const y = new Float32Array(x.length);
    for (let c = 0; c < C; c++) {
      const [mean, shift] = [running_mean[c], beta[c]];
      const factor = gamma[c] / Math.sqrt(running_var[c] + config.eps);
      for (let i = c * H * W; i < (c + 1) * H * W; i++) y[i] = factor * (x[i] - mean) + shift;
    }
    return y;
  }

  /* dx = dy * gamma / sqrt(variance + eps): the running statistics are constants */
  function batchNormBackward({ config }, [x], y, dy, { gamma, running_var }, [shape]) {
    const [C, H, W] = asMap(shape);
    const dx = new Float32Array(x.length);
    for (let c = 0; c < C; c++) {
      const factor = gamma[c] / Math.sqrt(running_var[c] + config.eps);
      for (let i = c * H * W; i < (c + 1) * H * W; i++) dx[i] = factor * dy[i];
    }
    return [dx];
  }

  /*
   * scale[c] = k + alpha / size * sum of x[m]^2 over m = c - (size - 1) / 2, ..., c + (size - 1) / 2
   * y = x / scale^beta,   all at the same pixel
   */
  function responseNorm({ config }, [x], arrays, [shape]) {
    const scale = responseScales(config, x, shape);
    return x.map((value, i) => value / scale[i] ** config.beta);
  }

  /*
   * dx[m] = dy[m] / scale[m]^beta
   *         - 2 * alpha / size * beta * x[m] * sum of dy[c] * y[c] / scale[c] over channels c in m's window
   */
  function responseNormBackward({ config }, [x], y, dy, arrays, [shape]) {
    const { size, alpha, beta } = config;
    const scale = responseScales(config, x, shape);
    const sums = channelSums(Float64Array.from(dy, (value, i) => value * y[i] / scale[i]), shape, size);
    const factor = 2 * alpha / size * beta;
    return [dy.map((value, i) => value / scale[i] ** beta - factor * x[i] * sums[i])];
  }

  function responseScales({ size, alpha, k }, x, shape) {
    const squares = Float64Array.from(x, (value) => value * value);
    return channelSums(squares, shape, size).map((sum) => k + alpha / size * sum);
  }

  /** For each channel the sum over ``size`` channels, with it in the middle, as far as there are any. */
  function channelSums(x, [C, H, W], size) {
    const sums = new Float64Array(x.length);
    const half = (size - 1) / 2;
    const plane = H * W;
    for (let c = 0; c < C; c++) {
      for (let m = Math.max(c - half, 0); m <= Math.min(c + half, C - 1); m++) {
        for (let i = 0; i < plane; i++) sums[c * plane + i] += x[m * plane + i];
      }
    }
    return sums;
  }

  // ---- activations: y = f(x), and dx = dy * f'(x), with the slope as a function of x and y

  const [GELU_C, GELU_A] = [Math.sqrt(2 / Math.PI), 0.044715];
  const geluTanh = (x) => Math.tanh(GELU_C * (x + GELU_A * x ** 3));

  const activations = {
    ReLU: { f: (x) => Math.max(x, 0), slope: (x, y) => y > 0 ? 1 : 0 },
    ReLU6: { f: (x) => Math.min(Math.max(x, 0), 6), slope: (x, y) => y > 0 && y < 6 ? 1 : 0 },
    LeakyReLU: {
      f: (x, { slope }) => x > 0 ? x : slope * x,
      slope: (x, y, { slope }) => x > 0 ? 1 : slope,
    },
    ELU: {
      f: (x, { alpha }) => x > 0 ? x : alpha * Math.expm1(x),
      slope: (x, y, { alpha }) => x > 0 ? 1 : y + alpha,
    },
    Sigmoid: { f: (x) => 1 / (1 + Math.exp(-x)), slope: (x, y) => y * (1 - y) },
    Tanh: { f: (x) => Math.tanh(x), slope: (x, y) => 1 - y * y },
    GELU: { f: (x) => x * (1 + geluTanh(x)) / 2, slope: geluSlope },
  };

  function geluSlope(x) {
    const t = geluTanh(x);
    return (1 + t) / 2 + x * (1 - t * t) / 2 * GELU_C * (1 + 3 * GELU_A * x * x);
  }

  function activation({ type, config }, [x]) {
    const { f } = activations[type];
    const y = new Float32Array(x.length);
    for (let i = 0; i < x.length; i++) y[i] = f(x[i], config);
    return y;
  }

  function activationBackward({ type, config }, [x], y, dy) {
    const { slope } = activations[type];
    const dx = new Float32Array(x.length);
    for (let i = 0; i < x.length; i++) dx[i] = dy[i] * slope(x[i], y[i], config);
    return [dx];
  }

  // ---- the largest value wins: of equal ones the first, and NaN always, so that it is seen

  /* y[c, i, j] = max over p, q of x[c, i*sh + p - top, j*sw + q - left]; padding never wins */
  const maxPool = (node, [x], arrays, [shape]) => gather(x, poolWinners(node, x, shape));
  const maxPoolBackward = (node, [x], y, dy, arrays, [shape]) => scatter(dy, poolWinners(node, x, shape), x);

  /* y[c] = max over k < K of x[c*K + k], with K = pieces */
  const maxout = (node, [x], arrays, [shape]) => gather(x, maxoutWinners(node, x, shape));
  const maxoutBackward = (node, [x], y, dy, arrays, [shape]) => scatter(dy, maxoutWinners(node, x, shape), x);

  /** For each y the place in x of the value that won. */
  function poolWinners(node, x, [C, H, W]) {
    const winners = new Int32Array(size(node.shape));
    overWindows(node, [C, H, W], (o, x0, row, column) => { winners[o] = largest(x, x0, W, row, column); });
    return winners;
  }

  function largest(x, x0, W, row, column) {
    let best = x0 + row.first * W + column.first;
    for (let h = row.first; h < row.end; h++) {
      for (let i = x0 + h * W + column.first; i < x0 + h * W + column.end; i++) best = winner(x, best, i);
    }
    return best;
  }

  function maxoutWinners({ config: { pieces } }, x, shape) {
    const [C, H, W] = asMap(shape);
    const winners = new Int32Array(C / pieces * H * W);
    for (let i = 0; i < winners.length; i++) {
      const first = Math.floor(i / (H * W)) * pieces * H * W + i % (H * W);
      winners[i] = first;
      for (let k = 1; k < pieces; k++) winners[i] = winner(x, winners[i], first + k * H * W);
    }
    return winners;
  }

  const winner = (x, best, i) => x[i] > x[best] || Number.isNaN(x[i]) ? i : best;

  const gather = (x, places) => Float32Array.from(places, (place) => x[place]);

  function scatter(dy, places, x) {
    const dx = new Float64Array(x.length);
    places.forEach((place, o) => { dx[place] += dy[o]; });
    return [Float32Array.from(dx)];
  }

  // ---- average pooling: windows of a given size, windows for a given output, or one window over all

  /* y[c, i, j] = sum over the window (i, j) of x[c, h, w] / count[i, j] */
  function avgPool(node, [x], arrays, [shape]) {
    const y = new Float32Array(size(node.shape));
    overWindows(node, shape, (o, x0, row, column) => {
      y[o] = sumUnder(x, x0, shape[2], row, column) / (row.count * column.count);
    });
    return y;
  }

  /* dx[c, h, w] += dy[c, i, j] / count[i, j]   for all windows (i, j) with (h, w) in them */
  function avgPoolBackward(node, [x], y, dy, arrays, [shape]) {
    const dx = new Float64Array(x.length);
    overWindows(node, shape, (o, x0, row, column) => {
      addUnder(dx, x0, shape[2], row, column, dy[o] / (row.count * column.count));
    });
    return [Float32Array.from(dx)];
  }

  function sumUnder(x, x0, W, row, column) {
    let sum = 0;
    for (let h = row.first; h < row.end; h++) {
      for (let i = x0 + h * W + column.first; i < x0 + h * W + column.end; i++) sum += x[i];
    }
    return sum;
  }

  function addUnder(dx, x0, W, row, column, share) {
    for (let h = row.first; h < row.end; h++) {
      for (let i = x0 + h * W + column.first; i < x0 + h * W + column.end; i++) dx[i] += share;
    }
  }

  /** For each window of each channel call ``each``(place in y, start of the channel in x, rows, columns). */
  function overWindows(node, [C, H, W], each) {
    const { rows, columns } = windows(node, [C, H, W]);
    let o = 0;
    for (let c = 0; c < C; c++) {
      for (const row of rows) {
        for (const column of columns) each(o++, c * H * W, row, column);
      }
    }
  }

  /**
   * Where the windows of a pool lie. For each row of windows: its rows in the padded picture,
   * start <= h < stop, those in the picture, first <= h < end, and how many of them an average counts.
   * Columns likewise.
   */
  function windows({ type, config, shape: [, OH = 1, OW = 1] }, [, H, W]) {
    if (type === "GlobalAvgPool2d" || type === "AdaptiveAvgPool2d") {
      return { rows: equalWindows(H, OH), columns: equalWindows(W, OW) };
    }
    const { kernel_size: [KH, KW], stride: [sh, sw], pads: [top, bottom, left, right] } = config;
    const countsPadding = config.count_include_pad;
    return {
      rows: slidingWindows(H, KH, sh, top, bottom, OH, countsPadding),
      columns: slidingWindows(W, KW, sw, left, right, OW, countsPadding),
    };
  }

  /** floor(i H / OH) <= h < ceil((i + 1) H / OH) */
  function equalWindows(length, number) {
    return Array.from({ length: number }, (_, i) => {
      const first = Math.floor(i * length / number);
      const end = Math.ceil((i + 1) * length / number);
      return { start: first, stop: end, first, end, count: end - first };
    });
  }

  /** i*sh - top <= h < i*sh - top + KH; what a window covers beyond the padding never counts. */
  function slidingWindows(length, kernel, stride, before, after, number, countsPadding) {
    return Array.from({ length: number }, (_, i) => {
      const start = i * stride - before;
      const stop = Math.min(start + kernel, length + after);
      const first = Math.max(start, 0);
      const end = Math.min(stop, length);
      return { start, stop, first, end, count: countsPadding ? stop - start : end - first };
    });
  }

  // ---- what joins, moves and passes on

  /* y = a + b, and da = db = dy */
  const add = (node, [a, b]) => a.map((value, i) => value + b[i]);
  const addBackward = (node, inputs, y, dy) => inputs.map(() => dy);

  /* y = [x_1, x_2, ...], and dx_i are the channels of dy that belong to x_i */
  function concat(node, inputs) {
    const y = new Float32Array(size(node.shape));
    let start = 0;
    for (const x of inputs) {
      y.set(x, start);
      start += x.length;
    }
    return y;
  }

  function concatBackward(node, inputs, y, dy) {
    let start = 0;
    return inputs.map((x) => {
      start += x.length;
      return dy.slice(start - x.length, start);
    });
  }

  /* y = [0, x, 0], and dx = dy without these channels */
  function padChannels({ config, shape }, [x], arrays, [[, H, W]]) {
    const y = new Float32Array(size(shape));
    y.set(x, config.before * H * W);
    return y;
  }

  function padChannelsBackward({ config }, [x], y, dy, arrays, [[, H, W]]) {
    const start = config.before * H * W;
    return [dy.slice(start, start + x.length)];
  }

  /* y = factor x, and dx = factor dy */
  const scale = ({ config: { factor } }, [x]) => x.map((value) => factor * value);
  const scaleBackward = ({ config: { factor } }, inputs, y, dy) => [dy.map((value) => factor * value)];

  const same = (node, [x]) => x;
  const sameBackward = (node, inputs, y, dy) => [dy];

  // ---- a node of any type

  const passes = {
    Conv2d: [conv2d, conv2dBackward],
    Linear: [linear, linearBackward],
    BatchNorm1d: [batchNorm, batchNormBackward],
    BatchNorm2d: [batchNorm, batchNormBackward],
    LocalResponseNorm: [responseNorm, responseNormBackward],
    ReLU: [activation, activationBackward],
    ReLU6: [activation, activationBackward],
    LeakyReLU: [activation, activationBackward],
    ELU: [activation, activationBackward],
    Sigmoid: [activation, activationBackward],
    Tanh: [activation, activationBackward],
    GELU: [activation, activationBackward],
    Maxout: [maxout, maxoutBackward],
    MaxPool2d: [maxPool, maxPoolBackward],
    AvgPool2d: [avgPool, avgPoolBackward],
    AdaptiveAvgPool2d: [avgPool, avgPoolBackward],
    GlobalAvgPool2d: [avgPool, avgPoolBackward],
    Add: [add, addBackward],
    Concat: [concat, concatBackward],
    PadChannels: [padChannels, padChannelsBackward],
    Scale: [scale, scaleBackward],
    Flatten: [same, sameBackward],
    Identity: [same, sameBackward],
  };

  /**
   * y of a node. ``inputs`` are the outputs of the nodes it reads and ``shapes`` their shapes; ``arrays`` are
   * its own weights and statistics, by name.
   */
  function forwardNode(node, inputs, arrays, shapes) {
    return passes[node.type][0](node, inputs, arrays, shapes);
  }

  /** dx for each of its inputs, from y (``output``) and dy (``dOutput``). */
  function backwardNode(node, inputs, output, dOutput, arrays, shapes) {
    return passes[node.type][1](node, inputs, output, dOutput, arrays, shapes);
  }

  /** The weights and statistics of a node in one of the networks, by name. */
  function arraysOf(node, arrays, network) {
    const own = node.arrays[network] || {};
    return Object.fromEntries(Object.entries(own).map(([name, index]) => [name, arrays[index]]));
  }

  /** x = (pixels - mean) / std, channels first; pixels (H, W, 3) are in RGB order, or grey (H, W, 1). */
  function input({ input: { shape: [C, H, W], channels, mean, std } }, pixels) {
    const depth = pixels.length / (H * W);
    const x = new Float32Array(C * H * W);
    for (let c = 0; c < C; c++) {
      const colour = depth === 1 ? 0 : channels === "BGR" ? 2 - c : c;
      for (let i = 0; i < H * W; i++) x[c * H * W + i] = (pixels[i * depth + colour] - mean[c]) / std[c];
    }
    return x;
  }

  /** Of the classes: softmax of the scores; with a single score s, 1 - p and p = sigmoid(s). */
  function probabilities({ single_score }, scores) {
    if (single_score) {
      const p = activations.Sigmoid.f(scores[0]);
      return [1 - p, p];
    }
    const best = Math.max(...scores);
    const exponentials = Array.from(scores, (s) => Math.exp(s - best));
    const total = exponentials.reduce((a, b) => a + b);
    return exponentials.map((e) => e / total);
  }

  // ---- one picture through one network

  const PAUSE_AFTER = 40; // ms of work without a break in which the page can draw and react

  /**
   * Values are computed when they are asked for, and kept. ``opaque`` tells where the outputs are of nodes
   * that the page cannot compute: {node index: [index of the array, for each network]}.
   *
   * ``progress(done, of)`` is called after each node; what it throws ends the computation.
   */
  class Pass {
    constructor(data, arrays, network, pixels, opaque = {}) {
      Object.assign(this, { data, arrays, network, opaque });
      this.values = [input(data, pixels)];
      this.latest = { k: null, gradients: null };
      this.lastPause = 0;
    }

    /** The output of a node. */
    async value(index, progress = () => {}) {
      const missing = this.below(index).filter((i) => !this.values[i]);
      for (const [done, i] of missing.entries()) {
        if (!this.values[i]) this.values[i] = this.compute(i); // unless another call came first, in a pause
        progress(done + 1, missing.length);
        await this.pause();
      }
      return this.values[index];
    }

    /** The scores of the classes, before softmax: the output of the last node. */
    scores(progress) {
      return this.value(this.data.nodes.length - 1, progress);
    }

    /**
     * d score_k / d output of each node, by node. null where it is not known: below an opaque node, through
     * which no gradient comes. With a single score s, class 1 has s and class 0 has -s.
     */
    async gradients(k, progress = () => {}) {
      if (this.latest.k !== k) {
        await this.scores((done, of) => progress(done, 2 * of));
        const gradients = await this.backpropagate(k, (done, of) => progress(of + done, 2 * of));
        this.latest = { k, gradients };
      }
      return this.latest.gradients;
    }

    async backpropagate(k, progress) {
      const { nodes, single_score } = this.data;
      const last = nodes.length - 1;
      const gradients = new Array(nodes.length);
      gradients[last] = new Float32Array(size(nodes[last].shape));
      gradients[last][single_score ? 0 : k] = single_score && k === 0 ? -1 : 1;
      for (let i = last; i > 0; i--) {
        this.passDown(i, gradients);
        progress(last - i + 1, last);
        await this.pause();
      }
      return gradients;
    }

    /** Add what comes through node i to the gradients of the nodes that it reads. */
    passDown(i, gradients) {
      const node = this.data.nodes[i];
      const dy = gradients[i];
      if (!dy || node.opaque) {
        node.inputs.forEach((below) => { gradients[below] = null; });
        return;
      }
      const dInputs = backwardNode(node, this.inputs(node), this.values[i], dy, ...this.rest(node));
      node.inputs.forEach((below, n) => { gradients[below] = sum(gradients[below], dInputs[n]); });
    }

    compute(i) {
      const node = this.data.nodes[i];
      if (node.opaque) return this.arrays[this.opaque[i][this.network]];
      return forwardNode(node, this.inputs(node), ...this.rest(node));
    }

    inputs(node) {
      return node.inputs.map((i) => this.values[i]);
    }

    rest(node) {
      return [arraysOf(node, this.arrays, this.network), node.inputs.map((i) => this.data.nodes[i].shape)];
    }

    /** The nodes that a node's output depends on, in their order, and itself. */
    below(index) {
      const needed = new Set([index]);
      for (let i = index; i >= 0; i--) {
        const node = this.data.nodes[i];
        if (needed.has(i) && !node.opaque) node.inputs.forEach((below) => needed.add(below));
      }
      return [...needed].sort((a, b) => a - b);
    }

    /** Let the browser draw and react, but not after every small node: a break may take some milliseconds. */
    async pause() {
      if (performance.now() - this.lastPause < PAUSE_AFTER) return;
      await new Promise((resume) => setTimeout(resume));
      this.lastPause = performance.now();
    }
  }

  /** The sum of two gradients; the first may be missing yet (undefined), or not known (null). */
  function sum(total, more) {
    return total === undefined ? more : total && add(null, [total, more]);
  }

  const shared = { arraysOf, windows, asMap, activations, geluTanh }; // with explain.js
  return { input, forwardNode, backwardNode, probabilities, Pass, ...shared };
})();
