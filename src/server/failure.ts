/** What a client is told of an error. Format: protocol, section 5.2: 400 for nearly everything, as a plain text. */
import { PbsfsError, codeOf, messageOf, type ErrorCode } from '../errors.js';
import { Refusal } from './refusal.js';
import type { ServerContext } from './server-context.js';

/** Of the store and its machine, or of the disk that is full; everything else is what the client asked for. */
const serverFaults: ReadonlySet<string> = new Set<ErrorCode>(['CHUNK_CORRUPT', 'CHUNK_MISSING', 'NO_PERMISSION', 'NO_SPACE', 'QUOTA', 'READ_ONLY']);

/** An error that is none of ours is told to the log, and not to the client. */
export function refusalOf(error: unknown, context: Pick<ServerContext, 'log' | 'metrics'>): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof PbsfsError) {
    if (serverFaults.has(error.code)) reportFault(messageOf(error), context);
    return new Refusal(400, messageOf(error), { cause: error });
  }
  const isOfSystem = codeOf(error) !== undefined;
  reportFault(!isOfSystem && error instanceof Error ? (error.stack ?? error.message) : messageOf(error), context);
  return new Refusal(400, 'an error inside of the server; its log has more', { cause: error });
}

function reportFault(text: string, { log, metrics }: Pick<ServerContext, 'log' | 'metrics'>): void {
  metrics.add('failures_total');
  log(`a request failed: ${text}`);
}
