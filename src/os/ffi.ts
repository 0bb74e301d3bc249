/** The one door to native libraries: the npm package koffi, which is optional. */
import { createRequire } from 'node:module';
import type koffi from 'koffi';

type Koffi = typeof koffi;

let loaded: { koffi: Koffi | undefined } | undefined;

/** Undefined where it is not installed or does not run on this machine. */
export function loadKoffi(): Koffi | undefined {
  if (loaded === undefined) {
    try {
      loaded = { koffi: createRequire(import.meta.url)('koffi') as Koffi };
    } catch {
      loaded = { koffi: undefined };
    }
  }
  return loaded.koffi;
}
