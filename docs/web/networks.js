// Networks run by onnxruntime's WebAssembly build, one at a time, on one thread.

/** An error whose message is a sentence for the user. */
export class Told extends Error {}

const REMEDY = 'build the page again with “make web”';
let ort;  // the module, once it is loaded

/** Return the bytes of a file of this site. */
export async function load(name) {
  let answer;
  try {
    answer = await fetch(name);
  } catch {
    throw new Told(`${name} cannot be loaded: is the server of this page still there?`);
  }
  if (!answer.ok) {
    throw new Told(`${name} cannot be loaded (status ${answer.status}): ${REMEDY}.`);
  }
  return new Uint8Array(await answer.arrayBuffer());
}

/** Unpack bytes of gzip; some servers have done it already. */
async function unpack(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Load the runtime; what `make web` says of the networks is returned. */
export async function loadRuntime() {
  if (typeof WebAssembly !== 'object' || typeof DecompressionStream !== 'function') {
    throw new Told('This browser is too old: the page needs WebAssembly with SIMD and DecompressionStream (browsers since 2023).');
  }
  const [site, packed, module] = await Promise.all([
    load('site.json'),
    load('ort.wasm.gz'),
    import('./ort.wasm.bundle.min.mjs').catch(() => null),
  ]);
  if (!module) throw new Told(`ONNX Runtime cannot be loaded: ${REMEDY}.`);
  ort = module;
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = 1;  // more need headers that plain file servers do not send
  ort.env.wasm.wasmBinary = await unpack(packed);
  return JSON.parse(new TextDecoder().decode(site));
}

/** Load a network: from an ImageData to outputs by name, each with `data` and `dims`. */
export async function openNetwork(file) {
  const bytes = await load(file);
  let session;
  try {
    session = await ort.InferenceSession.create(bytes, {executionProviders: ['wasm']});
  } catch (error) {
    throw new Told(`${file} cannot be opened by ONNX Runtime: ${String(error.message ?? error).slice(0, 200)}`);
  }
  return async ({data, width, height}) => {
    const rgb = new Uint8Array(3 * width * height);
    for (let i = 0, j = 0; i < data.length; i += 4) {
      rgb[j++] = data[i];
      rgb[j++] = data[i + 1];
      rgb[j++] = data[i + 2];
    }
    const image = new ort.Tensor('uint8', rgb, [1, height, width, 3]);
    return session.run({image});
  };
}
