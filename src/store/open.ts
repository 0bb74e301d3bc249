/** From what a person types as the source to an open datastore. */
import { UsageError } from '../errors.js';
import type { Datastore } from './datastore.js';
import { openLocalDatastore } from './local/local-datastore.js';

const repositoryPattern = /^(?:[^/\s]+@)?[^/\s@]+:[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** A directory. USAGE for the name of a datastore on a server, which this version can't reach. */
export async function openDatastore(location: string): Promise<Datastore> {
  if (repositoryPattern.test(location)) {
    throw new UsageError(`${location} names a datastore on a server; only local directories can be opened (write ./${location} for a directory)`);
  }
  return await openLocalDatastore(location);
}
