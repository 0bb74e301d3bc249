/** Opens the datastore that a command is about, wherever it is. */
import { isRepositoryText } from '../format/repository.js';
import type { ServerWords } from '../mount/open-options.js';
import type { Datastore } from '../store/datastore.js';
import { openDatastore } from '../store/open.js';

/** Decoded chunks that a command holds at once. The way to a server is kept full with more of them. */
export function cacheBytesMax({ chunks }: Datastore): number {
  return (chunks.kind === 'fetched' ? 256 : 128) << 20;
}

/** `ask`: a person may be asked for the password and whether a certificate is the server's. */
export async function openLocation(
  location: string,
  words: ServerWords,
  warn: (line: string) => void,
  { ask }: { readonly ask: boolean } = { ask: true },
): Promise<Datastore> {
  if (!isRepositoryText(location)) return await openDatastore(location);
  const { openOptionsFor } = await import('../mount/open-options.js');
  return await openDatastore(location, openOptionsFor(words, warn, { ask }));
}
