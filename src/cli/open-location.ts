/** Opens the datastore that a command is about, wherever it is. */
import { isRepositoryText } from '../format/repository.js';
import type { Datastore } from '../store/datastore.js';
import { openDatastore } from '../store/open.js';
import type { OptionValues } from './command.js';
import type { serverOptions } from './source-options.js';

/** `ask`: a person may be asked for the password and whether a certificate is the server's. */
export async function openLocation(
  location: string,
  { fingerprint, timeout }: Pick<OptionValues<typeof serverOptions>, 'fingerprint' | 'timeout'>,
  warn: (line: string) => void,
  { ask }: { readonly ask: boolean } = { ask: true },
): Promise<Datastore> {
  if (!isRepositoryText(location)) return await openDatastore(location);
  const { openOptionsFor } = await import('../mount/open-options.js');
  return await openDatastore(location, openOptionsFor({ fingerprint, timeout }, warn, { ask }));
}
