// From files and drawings to the pixels that the networks read.

import {Told} from './networks.js';

const ASK = 'choose a PNG, JPEG or WebP file';

/** Return a canvas of a size, white, with its context. */
export function blank(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  return context;
}

/** Decode a picture file. */
export async function decode(file) {
  const name = `“${file.name}”`;
  if (!file.size) throw new Told(`${name} is empty: ${ASK}.`);
  try {
    return await createImageBitmap(file, {colorSpaceConversion: 'none'});
  } catch {
    throw new Told(
      file.type.startsWith('image/')
        ? `${name} is damaged, or of a kind or size that this browser cannot read: ${ASK}.`
        : `${name} is not a picture: ${ASK}.`
    );
  }
}

/** Return the pixels of a picture, shrunk where it is longer than `longest`. */
export function pixels(picture, longest = Infinity) {
  const scale = Math.min(1, longest / Math.max(picture.width, picture.height));
  const width = Math.max(1, Math.round(picture.width * scale));
  const height = Math.max(1, Math.round(picture.height * scale));
  const context = blank(width, height);
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * Return a picture of a digit as the data set has it, `side` x `side`: bright ink on
 * black, cut to the ink, each pixel the share of it that ink covers.
 *
 * A picture of that size is taken as it is; null if there is no ink.
 */
export function digitOf(picture, side = 8) {
  if (picture.width === side && picture.height === side) return pixels(picture);
  const drawn = inkOf(pixels(picture, 256));
  const box = drawn && boxOf(drawn);
  return box && cover(drawn, box, side);
}

/** Return how much ink each pixel has, 0 to 1: what differs from the border. */
function inkOf({data, width, height}) {
  const grey = new Float32Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  }
  const isBorder = (_, i) =>
    i < width || i >= grey.length - width || i % width === 0 || i % width === width - 1;
  const border = grey.filter(isBorder).sort();
  const ground = border[border.length >> 1];
  const contrast = grey.reduce((most, g) => Math.max(most, Math.abs(g - ground)), 0);
  if (contrast < 32) return null;  // of 255
  const clear = 0.3;  // of the contrast is shade, not ink
  const ink = grey.map((g) => Math.max(0, Math.abs(g - ground) / contrast - clear) / (1 - clear));
  return {ink, width, height};
}

/** Return the square around the ink: the middle and half of the side. */
function boxOf({ink, width}) {
  const inked = [...ink.keys()].filter((i) => ink[i] > 0.3);
  const span = (places) => {
    const first = places.reduce((a, b) => Math.min(a, b));
    return [first, places.reduce((a, b) => Math.max(a, b)) + 1];
  };
  const [left, right] = span(inked.map((i) => i % width));
  const [top, bottom] = span(inked.map((i) => Math.floor(i / width)));
  const half = Math.max(right - left, bottom - top) / 2;
  return {x: (left + right) / 2, y: (top + bottom) / 2, half};
}

/** Return the share of ink in each of side x side parts of a box, as grey levels. */
function cover({ink, width, height}, {x, y, half}, side) {
  const fine = 8;  // probes along a part
  const step = (2 * half) / side / fine;
  const image = new ImageData(side, side);
  for (let part = 0; part < side * side; part++) {
    let sum = 0;
    for (let probe = 0; probe < fine * fine; probe++) {
      const across = (part % side) * fine + (probe % fine) + 0.5;
      const down = Math.floor(part / side) * fine + Math.floor(probe / fine) + 0.5;
      const column = Math.floor(x - half + across * step);
      const row = Math.floor(y - half + down * step);
      if (column >= 0 && column < width && row >= 0 && row < height) {
        sum += ink[row * width + column];
      }
    }
    const level = Math.round((255 * sum) / fine ** 2);
    image.data.set([level, level, level, 255], 4 * part);
  }
  return image;
}
