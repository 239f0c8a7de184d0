"use strict";

/* The binary part of the page: base64 of one zlib stream that holds all arrays, as in arrays.py. */
const Decode = (() => {

  /**
   * The arrays of a page, in the order of their entries ({shape, dtype, offset, coding}): Uint8Array for
   * uint8, Float32Array for float32 and float16.
   */
  async function arrays(entries, text) {
    const bytes = await inflate(fromBase64(text));
    return entries.map((entry) => oneArray(entry, bytes));
  }

  function fromBase64(text) {
    const characters = atob(text.trim());
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
    return bytes;
  }

  async function inflate(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  const decoders = {
    uint8: (buffer, offset, count) => new Uint8Array(buffer, offset, count),
    float32: (buffer, offset, count) => new Float32Array(buffer, offset, count),
    float16: (buffer, offset, count) => fromHalf(new Uint8Array(buffer, offset, 2 * count)),
  };

  function oneArray({ shape, dtype, offset, coding }, buffer) {
    const count = shape.reduce((product, length) => product * length, 1);
    const array = decoders[dtype](buffer, offset, count);
    return coding === "horizontal-differences" ? addedUp(array, shape) : array;
  }

  /** Pixels (H, W, C) from the differences to their left neighbours; a sum beyond 255 starts from 0 again. */
  function addedUp(differences, [H, W, C]) {
    const pixels = differences.slice();
    for (let h = 0; h < H; h++) {
      for (let i = h * W * C + C; i < (h + 1) * W * C; i++) pixels[i] += pixels[i - C];
    }
    return pixels;
  }

  let values = null; // of all 65,536 halves

  /** Numbers of two bytes: first the low bytes of all of them, then the high ones. */
  function fromHalf(bytes) {
    values = values || Float32Array.from({ length: 65536 }, (_, bits) => valueOfHalf(bits));
    const floats = new Float32Array(bytes.length / 2);
    for (let i = 0; i < floats.length; i++) floats[i] = values[bytes[i] | bytes[i + floats.length] << 8];
    return floats;
  }

  /** One bit of sign, five of exponent e, ten of fraction m: (-1)^s 2^(e - 15) (1 + m / 1024). */
  function valueOfHalf(bits) {
    const sign = bits >> 15 ? -1 : 1;
    const e = (bits >> 10) & 31;
    const m = bits & 1023;
    if (e === 31) return m ? NaN : sign * Infinity;
    if (e === 0) return sign * 2 ** -14 * m / 1024; // the smallest numbers are evenly spaced
    return sign * 2 ** (e - 15) * (1 + m / 1024);
  }

  return { arrays };
})();
