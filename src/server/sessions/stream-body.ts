/** The body of a request of an HTTP/2 session. Nothing of it is read before it may be. Format: protocol, section 9.5. */
import type { ServerHttp2Stream } from 'node:http2';
import { KeptRooms } from '../../codec/kept-rooms.js';
import { Refusal } from '../refusal.js';
import { bodyMsMax, bodyRoomsMax, bodySilenceMs } from './session-settings.js';

/** Of all sessions. */
const bodyRooms = new KeptRooms(bodyRoomsMax);

/** In memory of its own. 400 for more than `bytesMax`; 408 after a silence. */
export async function readStreamBody(stream: ServerHttp2Stream, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  await eachPiece(stream, (piece) => {
    bytes += piece.length;
    if (bytes > bytesMax) throw new Refusal(400, `the body has more than ${bytesMax} bytes`);
    pieces.push(piece);
  });
  const body = Buffer.from(new ArrayBuffer(bytes));
  let offset = 0;
  for (const piece of pieces) offset += piece.copy(body, offset);
  return body;
}

/** 400 unless it has as many bytes as was announced. Its memory, shared or of its own, is there until `use` is done. */
export async function withAnnouncedBody<T>(stream: ServerHttp2Stream, bytes: number, use: (body: Buffer) => Promise<T>): Promise<T> {
  const room = bodyRooms.take(bytes);
  try {
    const body = Buffer.from(room.buffer, room.byteOffset, bytes);
    await readAnnounced(stream, body);
    return await use(body);
  } finally {
    bodyRooms.give(room);
  }
}

async function readAnnounced(stream: ServerHttp2Stream, body: Buffer): Promise<void> {
  const bytes = body.length;
  let offset = 0;
  await eachPiece(stream, (piece) => {
    if (offset + piece.length > bytes) throw new Refusal(400, `the body has more than the ${bytes} bytes that were announced`);
    offset += piece.copy(body, offset);
  });
  if (offset < bytes) throw new Refusal(400, `the body has ${offset} bytes, ${bytes} were announced`);
}

/** Reads it to its end and throws it away. */
export async function discardBody(stream: ServerHttp2Stream): Promise<void> {
  await eachPiece(stream, () => undefined);
}

async function eachPiece(stream: ServerHttp2Stream, take: (piece: Buffer) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const late = (): void => {
      end(() => reject(new Refusal(408, 'the body did not come to its end')));
    };
    const silence = setTimeout(late, bodySilenceMs);
    const whole = setTimeout(late, bodyMsMax);
    const closed = (): void => {
      end(() => reject(new Refusal(400, 'the request was given up within its body')));
    };
    const ended = (): void => {
      end(resolve);
    };
    const data = (piece: Buffer): void => {
      silence.refresh();
      try {
        take(piece);
      } catch (error) {
        const reason = error instanceof Error ? error : new Error(String(error));
        end(() => reject(reason));
      }
    };
    const end = (settle: () => void): void => {
      clearTimeout(silence);
      clearTimeout(whole);
      stream.off('data', data).off('end', ended).off('close', closed).off('aborted', closed);
      stream.pause();
      settle();
    };
    stream.once('end', ended).once('close', closed).once('aborted', closed).on('data', data);
    if (stream.readableEnded) ended();
    else if (stream.closed || stream.aborted) closed();
  });
}
