"use strict";

/*
 * The arithmetic behind one value y[c, i, j] of one node, with the equations of engine.js.
 *
 * An explanation is
 *   kind      what the node does, e.g. "convolution" (the table at the end)
 *   equation  the key of its equation in words.js: "equation_" and the node's type
 *   terms     what it reads: {node, at, x, w, product}: x is the value at [c, row, column] of that node's
 *             output (null: padding), and product = w x; both are missing where there is no weight. Where the
 *             largest wins also ``won``
 *   grid      [channels, rows, columns] of the terms that lie in windows, which are in this order
 *   sums      the steps from the terms to the result: {name, value}
 *   result    the value: that of the forward pass
 */
const Explain = (() => {

  /** ``values`` are the outputs by node (``Pass.values``), of which those below the node are needed. */
  function neuron(data, arrays, network, values, index, [c, i = 0, j = 0]) {
    const node = data.nodes[index];
    const own = Engine.arraysOf(node, arrays, network);
    const output = outputOf(data, values, index);
    const inputs = node.inputs.map((below) => outputOf(data, values, below));
    const [kind, explain] = node.opaque ? ["opaque", opaque] : kinds[node.type];
    const explained = explain({ data, node, own, inputs, output, x: inputs[0] }, [c, i, j]);
    return { kind, equation: `equation_${node.type}`, ...explained, result: Math.fround(explained.result) };
  }

  function outputOf(data, values, node) {
    return { node, shape: Engine.asMap(data.nodes[node].shape), values: values[node] };
  }

  // ---- terms

  function valueAt({ shape: [, H, W], values }, [c, row, column]) {
    return values[(c * H + row) * W + column];
  }

  function term(input, at, w) {
    return weighted({ node: input.node, at, x: valueAt(input, at) }, w);
  }

  const weighted = (made, w) => w === undefined ? made : { ...made, w, product: w * made.x };

  /** A term that may lie in the padding, where there is the value ``outside``. */
  function paddedTerm(input, at, outside, w) {
    const [, H, W] = input.shape;
    const [, row, column] = at;
    const isInside = row >= 0 && row < H && column >= 0 && column < W;
    return isInside ? term(input, at, w) : weighted({ node: input.node, at: null, x: outside }, w);
  }

  const total = (terms) => terms.reduce((sum, { x, product = x }) => sum + product, 0);

  const steps = (named) => Object.entries(named).map(([name, value]) => ({ name, value }));

  // ---- weighted sums

  /* y[f, i, j] = b[f] + sum over c, p, q of x_padded[c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] w[f, c, p, q] */
  function convolution({ node: { config, shape }, own, x }, [f, i, j]) {
    const { kernel_size: [KH, KW], stride: [sh, sw], dilation: [dil_h, dil_w], pads: [top, , left] } = config;
    const channels = x.shape[0] / config.groups;
    const c0 = Math.floor(f / (shape[0] / config.groups)) * channels;
    const terms = [];
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < KH; p++) {
        for (let q = 0; q < KW; q++) {
          const at = [c0 + c, i * sh + p * dil_h - top, j * sw + q * dil_w - left];
          terms.push(paddedTerm(x, at, 0, own.w[((f * channels + c) * KH + p) * KW + q]));
        }
      }
    }
    return { ...withBias(terms, own.b, f), grid: [channels, KH, KW] };
  }

  /* y[o] = b[o] + sum over d of w[o, d] x[d] */
  function linear({ own, x }, [o]) {
    const D = x.values.length;
    const terms = Array.from({ length: D }, (_, d) => term(x, [d, 0, 0], own.w[o * D + d]));
    return withBias(terms, own.b, o);
  }

  function withBias(terms, b, f) {
    const sum = total(terms);
    const sums = b ? { sum, bias: b[f] } : { sum };
    return { terms, sums: steps(sums), result: b ? sum + b[f] : sum };
  }

  // ---- normalisation

  /* y = gamma * (x - mean) / sqrt(variance + eps) + beta */
  function batchNorm({ node: { config }, own, x }, at) {
    const [c] = at;
    const [mean, gamma, beta] = [own.running_mean[c], own.gamma[c], own.beta[c]];
    const std = Math.sqrt(own.running_var[c] + config.eps);
    const terms = [term(x, at)];
    const centred = terms[0].x - mean;
    const normalised = centred / std;
    const scaled = gamma * normalised;
    return {
      terms,
      sums: steps({ mean, centred, std, normalised, gamma, scaled, beta }),
      result: scaled + beta,
    };
  }

  /* scale = k + alpha / size * sum of x[m]^2 over the channels around c,  y = x / scale^beta */
  function responseNorm({ node: { config }, x }, at) {
    const [c, i, j] = at;
    const { size, alpha, beta, k } = config;
    const half = (size - 1) / 2;
    const terms = [];
    for (let m = Math.max(c - half, 0); m <= Math.min(c + half, x.shape[0] - 1); m++) {
      terms.push(term(x, [m, i, j], valueAt(x, [m, i, j]))); // x[m] times itself
    }
    const sum = total(terms);
    const scale = k + alpha / size * sum;
    const power = scale ** beta;
    const numerator = valueAt(x, at);
    return { terms, sums: steps({ sum, scale, power, numerator }), result: numerator / power };
  }

  // ---- activations

  /* What of f(x) is worth a line of its own. */
  const partsOf = {
    ELU: (x) => x > 0 ? {} : { exponential: Math.exp(x) },
    Sigmoid: (x) => ({ exponential: Math.exp(-x) }),
    GELU: (x) => ({ tanh: Engine.geluTanh(x) }),
  };

  function activation({ node: { type, config }, x }, at) {
    const terms = [term(x, at)];
    const value = terms[0].x;
    const parts = type in partsOf ? partsOf[type](value) : {};
    return { terms, sums: steps(parts), result: Engine.activations[type].f(value, config) };
  }

  // ---- the largest, and averages

  /* y[c, i, j] = max over p, q of x[c, i*sh + p - top, j*sw + q - left]; padding is minus infinity */
  function maxPool({ node, x }, at) {
    const { terms, grid } = windowTerms(node, x, at, ["start", "stop"], -Infinity);
    return { ...theLargest(terms), grid };
  }

  /* y[c] = max over k < K of x[c*K + k] */
  function maxout({ node: { config: { pieces } }, x }, [c, i, j]) {
    return theLargest(Array.from({ length: pieces }, (_, k) => term(x, [c * pieces + k, i, j])));
  }

  /** Of equal ones the first wins, and NaN always. */
  function theLargest(terms) {
    const best = terms.reduce((a, b) => b.x > a.x || Number.isNaN(b.x) ? b : a);
    return { terms: terms.map((t) => ({ ...t, won: t === best })), sums: [], result: best.x };
  }

  /* y[c, i, j] = sum over the window of x[c, h, w] / count[i, j] */
  function average({ node, x }, at) {
    const limits = node.config.count_include_pad ? ["start", "stop"] : ["first", "end"];
    const { terms, grid } = windowTerms(node, x, at, limits, 0);
    const sum = total(terms);
    return { terms, grid, sums: steps({ sum, count: terms.length }), result: sum / terms.length };
  }

  function windowTerms(node, x, [c, i, j], [start, stop], outside) {
    const { rows, columns } = Engine.windows(node, x.shape);
    const [row, column] = [rows[i], columns[j]];
    const terms = [];
    for (let h = row[start]; h < row[stop]; h++) {
      for (let w = column[start]; w < column[stop]; w++) terms.push(paddedTerm(x, [c, h, w], outside));
    }
    return { terms, grid: [1, row[stop] - row[start], column[stop] - column[start]] };
  }

  // ---- what joins, moves and passes on

  const single = (made) => ({ terms: [made], sums: [], result: total([made]) });

  function add({ inputs }, at) {
    const terms = inputs.map((input) => term(input, at));
    return { terms, sums: [], result: total(terms) };
  }

  function concat({ inputs }, [c, i, j]) {
    let channel = c;
    const branch = inputs.find(({ shape: [C] }) => channel < C || (channel -= C) < 0);
    return single(term(branch, [channel, i, j]));
  }

  function padChannels({ node: { config }, x }, [c, i, j]) {
    const channel = c - config.before;
    const isThere = channel >= 0 && channel < x.shape[0];
    return single(isThere ? term(x, [channel, i, j]) : { node: x.node, at: null, x: 0 });
  }

  const scale = ({ node: { config: { factor } }, x }, at) => single(term(x, at, factor));

  function flatten({ x }, [d]) {
    const [, H, W] = x.shape;
    return single(term(x, [Math.floor(d / (H * W)), Math.floor(d / W) % H, d % W]));
  }

  const identity = ({ x }, at) => single(term(x, at));

  /* x = (pixel - mean) / std; pixels are whole numbers */
  function pixel({ data, output }, at) {
    const [mean, std] = [data.input.mean[at[0]], data.input.std[at[0]]];
    const x = Math.round(valueAt(output, at) * std + mean);
    const terms = [{ node: output.node, at, x }];
    return { terms, sums: steps({ mean, centred: x - mean, std }), result: (x - mean) / std };
  }

  const opaque = ({ output }, at) => ({ terms: [], sums: [], result: valueAt(output, at) });

  const kinds = {
    Input: ["input", pixel],
    Conv2d: ["convolution", convolution],
    Linear: ["linear", linear],
    BatchNorm1d: ["batch_norm", batchNorm],
    BatchNorm2d: ["batch_norm", batchNorm],
    LocalResponseNorm: ["response_norm", responseNorm],
    ReLU: ["activation", activation],
    ReLU6: ["activation", activation],
    LeakyReLU: ["activation", activation],
    ELU: ["activation", activation],
    Sigmoid: ["activation", activation],
    Tanh: ["activation", activation],
    GELU: ["activation", activation],
    Maxout: ["largest", maxout],
    MaxPool2d: ["largest", maxPool],
    AvgPool2d: ["average", average],
    AdaptiveAvgPool2d: ["average", average],
    GlobalAvgPool2d: ["average", average],
    Add: ["add", add],
    Concat: ["concat", concat],
    PadChannels: ["pad_channels", padChannels],
    Scale: ["scale", scale],
    Flatten: ["flatten", flatten],
    Identity: ["identity", identity],
  };

  return { neuron };
})();
