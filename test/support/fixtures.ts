/** Where the fixtures are. `sample` is unpacked from the tarball that ships; the others lie in test/fixtures. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

export type FixtureStore = 'sample' | 'vault';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

export function storePath(name: FixtureStore): string {
  return name === 'sample' ? inject('sampleStore') : `${fixtures}vault`;
}

export function expectedPath(name: FixtureStore, path = ''): string {
  return `${fixtures}expected/${name}/${path}`;
}

export function expectedJson(name: FixtureStore, path: string): unknown {
  return JSON.parse(readFileSync(expectedPath(name, path), 'utf8'));
}

/** The objects of a .jsonl file. */
export function expectedLines<T>(name: FixtureStore, path: string): T[] {
  return readFileSync(expectedPath(name, path), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

export function keyPath(name: 'plain.json' | 'password.json' | 'master-public.pem' | 'master-private.pem'): string {
  return `${fixtures}vault/keys/${name}`;
}
