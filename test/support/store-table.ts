/** Where stores can be: what is true of a datastore in a directory is true of it on a server. */
import { storePath, type FixtureStore } from './fixtures.js';
import { ServedProcess } from './served-process.js';

export type Place = 'in a directory' | 'on a server';

export const places: readonly Place[] = ['in a directory', 'on a server'];

export interface PlacedStore {
  readonly store: FixtureStore;
  readonly place: Place;
}

export const placedStores: readonly PlacedStore[] = (['sample', 'vault'] as const).flatMap((store) => places.map((place) => ({ store, place })));

const servers = new Map<string, Promise<ServedProcess>>();

/** What opens the datastore in `directory`: the directory, or the repository of a server for it, which ends with the test file. */
export async function locationOf(directory: string, place: Place): Promise<string> {
  if (place === 'in a directory') return directory;
  const server = servers.get(directory) ?? ServedProcess.start(directory);
  servers.set(directory, server);
  return (await server).repository();
}

export function placedStore({ store, place }: PlacedStore): Promise<string> {
  return locationOf(storePath(store), place);
}
