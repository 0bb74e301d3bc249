/** Answers of an HTTP/2 session as they go over the wire. Format: protocol, sections 5.2 and 9.5. */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { StoreError, codeOf } from '../../errors.js';
import { writeJson } from '../../format/json.js';
import { jsonType } from '../answer.js';
import type { Answer } from '../endpoint.js';
import type { Refusal } from '../refusal.js';
import { fileMsMax } from './session-settings.js';
import type { OpenedFile } from './snapshot-file.js';

const bytesType = 'application/octet-stream';

/** Resolves when all is given to the client, or the client is gone. Rejects with the error of a stream. */
export async function answerStream(stream: ServerHttp2Stream, answer: Answer): Promise<void> {
  if ('stream' in answer) {
    if (!isOpen(stream)) {
      answer.stream.destroy();
      return;
    }
    stream.respond(head(200, bytesType, answer.length));
    await pipeline(answer.stream, stream).catch((error: unknown) => {
      if (codeOf(error) !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    });
    return;
  }
  if (!isOpen(stream)) return;
  if ('data' in answer) {
    const body = Buffer.from(writeJson({ ...answer.beside, data: answer.data }));
    stream.respond(head(200, jsonType, body.length));
    stream.end(body);
    return;
  }
  const parts = answer.bytes instanceof Uint8Array ? [answer.bytes] : answer.bytes;
  stream.respond(head(200, bytesType, parts.reduce((sum, { length }) => sum + length, 0)));
  for (const part of parts) stream.write(part);
  stream.end();
}

/** By way of `room`, which must be large enough. Resolves when it is not read any more. */
export async function answerFile(stream: ServerHttp2Stream, { handle, bytes }: OpenedFile, room: Buffer): Promise<void> {
  const body = room.subarray(0, bytes);
  const { bytesRead } = await handle.read(body, 0, bytes, 0);
  if (bytesRead < bytes) throw new StoreError('CHUNK_CORRUPT', `a file has become shorter than its ${bytes} bytes`);
  if (!isOpen(stream)) return;
  const closed = new Promise<void>((resolve) => {
    stream.once('close', resolve);
  });
  stream.respond(head(200, bytesType, bytes));
  stream.end(body);
  const timer = setTimeout(() => stream.session?.destroy(), fileMsMax);
  await closed;
  clearTimeout(timer);
}

/** `bare`: without a type, as the reference answers what is wrong with parameters. */
export function refuseStream(stream: ServerHttp2Stream, { status, message }: Refusal, bare: boolean): void {
  if (!isOpen(stream)) return;
  if (stream.headersSent) {
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const body = Buffer.from(message);
  stream.respond(head(status, bare ? undefined : jsonType, body.length));
  stream.end(body);
}

function isOpen(stream: ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed;
}

/** In the order of the reference. */
function head(status: number, type: string | undefined, length: number | undefined): OutgoingHttpHeaders {
  return {
    ':status': status,
    ...(type !== undefined && { 'content-type': type }),
    date: new Date().toUTCString(),
    ...(length !== undefined && { 'content-length': String(length) }),
  };
}
