/** The requests of a backup session, by their names. Format: protocol, sections 10.2 to 10.7. */
import { StoreError, codeOf, messageOf } from '../../errors.js';
import type { JsonValue } from '../../format/json.js';
import type { Parameters, ProtocolSession, SessionRequest } from './server-api.js';

export type IndexKind = 'fixed' | 'dynamic';

export interface UploadedChunk {
  readonly digest: Buffer;
  /** Bytes of content. */
  readonly length: number;
  /** A whole chunk file. */
  readonly encoded: Uint8Array;
}

export interface AppendedEntry {
  readonly digest: Buffer;
  /** Where the chunk begins in the image or stream. */
  readonly offset: number;
}

export interface ClosedIndex {
  /** Entries that were appended. */
  readonly count: number;
  readonly size: number;
  readonly csum: Buffer;
}

const answerBytesMax = 64 << 10;

export class WriterConnection {
  readonly #session: ProtocolSession;
  readonly #ended = new AbortController();

  constructor(session: ProtocolSession) {
    this.#session = session;
    void session.ended.then((reason) => {
      this.#ended.abort(reason === undefined ? closed() : lost(reason));
    });
  }

  /** Aborted, with the reason, when the session is gone. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  close(): void {
    this.#ended.abort(closed());
    this.#session.close();
  }

  /** Seconds since 1970; undefined if there is no previous snapshot. A server that can't say it refuses. */
  async previousTime(): Promise<number | undefined> {
    const time = await this.#call({ method: 'GET', path: '/previous_backup_time' });
    if (time === null) return undefined;
    if (typeof time === 'number' && Number.isSafeInteger(time)) return time;
    throw new StoreError('PROTOCOL', 'the server says a previous backup time that is no number');
  }

  /** A file of the previous snapshot. The chunks of an index are known to the session from then on. */
  async previousFile(fileName: string, bytesMax: number): Promise<Buffer> {
    const parameters = { 'archive-name': fileName };
    const bytes = await this.#told(this.#session.request({ method: 'GET', path: '/previous', parameters, bytesMax }));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Gives the number of the writer. */
  async createIndex(kind: IndexKind, fileName: string, { size, reuseCsum }: { readonly size?: number | undefined; readonly reuseCsum?: Buffer | undefined }): Promise<number> {
    const parameters = {
      'archive-name': fileName,
      ...(kind === 'fixed' && { size, 'reuse-csum': reuseCsum?.toString('hex') }),
    };
    const wid = await this.#call({ method: 'POST', path: `/${kind}_index`, parameters });
    if (typeof wid === 'number' && Number.isSafeInteger(wid)) return wid;
    throw new StoreError('PROTOCOL', `the server gives no number for the index ${fileName}`);
  }

  async putChunk(kind: IndexKind, wid: number, { digest, length, encoded }: UploadedChunk): Promise<void> {
    const parameters = { wid, digest: digest.toString('hex'), size: length, 'encoded-size': encoded.length };
    await this.#send(`/${kind}_chunk`, parameters, encoded);
  }

  async append(kind: IndexKind, wid: number, entries: readonly AppendedEntry[]): Promise<void> {
    const parameters: Parameters = {
      'digest-list': entries.map(({ digest }) => digest.toString('hex')),
      'offset-list': entries.map(({ offset }) => offset),
      wid,
    };
    await this.#call({ method: 'PUT', path: `/${kind}_index`, parameters, send: { kind: 'json' } });
  }

  async closeIndex(kind: IndexKind, wid: number, { count, size, csum }: ClosedIndex): Promise<void> {
    const parameters = { wid, 'chunk-count': count, size, csum: csum.toString('hex') };
    await this.#call({ method: 'POST', path: `/${kind}_close`, parameters });
  }

  async putBlob(fileName: string, encoded: Buffer): Promise<void> {
    await this.#send('/blob', { 'file-name': fileName, 'encoded-size': encoded.length }, encoded);
  }

  async finish(): Promise<void> {
    await this.#call({ method: 'POST', path: '/finish' });
  }

  /** Servers of others answer chunks and blobs with anything. */
  async #send(path: string, parameters: Parameters, body: Uint8Array): Promise<void> {
    await this.#told(this.#session.request({ method: 'POST', path, parameters, send: { kind: 'bytes', parts: [body] }, bytesMax: answerBytesMax }));
  }

  async #call(request: Omit<SessionRequest, 'bytesMax'>): Promise<JsonValue> {
    return await this.#told(this.#session.call({ ...request, bytesMax: answerBytesMax }));
  }

  async #told<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw codeOf(error) === 'UNREACHABLE' ? lost(error) : error;
    }
  }
}

/** A session can't be taken up again: what it knew is gone with it. */
function lost(cause: unknown): StoreError {
  const text = `${messageOf(cause)}. Nothing is left of the new snapshot; chunks that arrived stay on the server, which stores none of them again: run it again`;
  return new StoreError('UNREACHABLE', text, { cause });
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the backup session was ended');
}
