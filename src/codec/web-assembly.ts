/** What is used of the standard WebAssembly interface, whose types come only with those of browsers. */

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

interface WebAssemblyInterface {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { readonly exports: unknown };
}

/** Undefined where the engine was started without it. */
export const webAssembly = (globalThis as { WebAssembly?: WebAssemblyInterface }).WebAssembly;
