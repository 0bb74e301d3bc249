/** From what a person types as the source to an open datastore. */
import { isRepositoryText, parseRepository } from '../format/repository.js';
import type { Datastore } from './datastore.js';
import { openLocalDatastore } from './local/local-datastore.js';
import type { OpenOptions } from './open-options.js';

/** Of a program that asks nobody. */
const usualOptions: OpenOptions = {
  environment: process.env,
  warn: (line) => {
    process.emitWarning(line);
  },
};

/** A directory, or the repository of a server: that has a colon and is no path (`./a:b` is one). BAD_NAME, and what either throws. */
export async function openDatastore(location: string, options: OpenOptions = usualOptions): Promise<Datastore> {
  if (!isRepositoryText(location)) return await openLocalDatastore(location);
  const repository = parseRepository(location);
  // Most commands read local stores, and the network takes its time to load.
  const { openRemoteDatastore } = await import('./remote/remote-datastore.js');
  return await openRemoteDatastore(repository, options);
}
