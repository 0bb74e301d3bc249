/** The body of a request, in memory. Format: protocol, section 5.1. */
import type { IncomingMessage } from 'node:http';
import { formParameters, jsonParameters, parameterBytesMax, type RawParameters } from './parameters.js';
import { Refusal } from './refusal.js';

/** A client that sends nothing for so long has no more to say. */
export const bodySilenceMs = 30_000;

/** 400 for more than `bytesMax`, told or sent; 408 after a silence. What is not read then is for the caller to get rid of. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLarge = new Refusal(400, `the body has more than ${bytesMax} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge;
  const pieces: Buffer[] = [];
  let bytes = 0;
  return await new Promise<Buffer>((resolve, reject) => {
    const silence = setTimeout(() => end(() => reject(new Refusal(408, 'the body did not come to its end'))), bodySilenceMs);
    const end = (settle: () => void): void => {
      clearTimeout(silence);
      request.removeAllListeners('data').pause();
      settle();
    };
    request.on('data', (piece: Buffer) => {
      silence.refresh();
      bytes += piece.length;
      if (bytes > bytesMax) return end(() => reject(tooLarge));
      pieces.push(piece);
    });
    request.once('end', () => end(() => resolve(Buffer.concat(pieces))));
    const cutOff = (cause?: Error): void => end(() => reject(new Refusal(400, 'the connection was closed within the body', { cause })));
    request.once('error', cutOff);
    request.once('close', () => cutOff());
  });
}

/** Parameters of a call whose body is not raw: those of a JSON body alone, or those of form and query. 400 for other types. */
export async function readParameters(request: IncomingMessage, query: string): Promise<RawParameters> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (!['', 'application/json', 'application/x-www-form-urlencoded'].includes(type)) {
    throw new Refusal(400, "the body's type has to be application/json or application/x-www-form-urlencoded");
  }
  const body = await readBody(request, parameterBytesMax);
  if (type === 'application/json') return jsonParameters(body);
  if (type === '' && body.length > 0) throw new Refusal(400, 'the type of the body is missing');
  return formParameters(query, body.toString());
}
