/** Answers as they go over the wire. Format: protocol, section 5.2. */
import type { ServerResponse } from 'node:http';
import { writeJson } from '../format/json.js';
import { drained } from './drained.js';
import type { Answer, JsonAnswer } from './endpoint.js';
import type { Refusal } from './refusal.js';

export const jsonType = 'application/json;charset=UTF-8';
const plainJsonType = 'application/json';
const bytesType = 'application/octet-stream';

export const expiredCookie = '__Host-PBSAuthCookie=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax; Path=/;';

/** Rejects with the error of a stream before its first byte; later ones break the connection. */
export async function sendAnswer(response: ServerResponse, answer: Answer): Promise<void> {
  if ('data' in answer) return sendJson(response, answer);
  if ('stream' in answer) return await sendStream(response, answer);
  const parts = answer.bytes instanceof Uint8Array ? [answer.bytes] : answer.bytes;
  writeHead(response, 200, { 'content-type': bytesType, 'content-length': String(parts.reduce((sum, { length }) => sum + length, 0)) });
  for (const part of parts) response.write(part);
  response.end();
}

function sendJson(response: ServerResponse, { data, beside = {}, form, headers }: JsonAnswer): void {
  const type = { 'content-type': form === 'plain' ? plainJsonType : jsonType, ...headers };
  if (form === 'chunked') {
    writeHead(response, 200, { ...type, 'transfer-encoding': 'chunked' });
    response.end(JSON.stringify({ ...beside, data }));
    return;
  }
  const body = Buffer.from(writeJson({ ...beside, data }));
  writeHead(response, 200, { ...type, 'content-length': String(body.length) });
  response.end(body);
}

async function sendStream(response: ServerResponse, { stream, length }: Extract<Answer, { stream: unknown }>): Promise<void> {
  const head = { 'content-type': bytesType, ...(length === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(length) }) };
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      if (!response.headersSent) writeHead(response, 200, head);
      if (response.destroyed) return;
      if (!response.write(piece)) await drained(response);
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    response.destroy();
    throw error;
  }
  if (!response.headersSent) writeHead(response, 200, head);
  response.end();
}

export interface RefusalForm {
  /** Without a type: before it was known what is asked for. */
  readonly bare: boolean;
  /** Nothing more is read from this connection. */
  readonly close: boolean;
}

export function sendRefusal(response: ServerResponse, { status, message }: Refusal, { bare, close }: RefusalForm): void {
  const body = Buffer.from(message);
  if (close) response.shouldKeepAlive = false;
  writeHead(response, status, {
    ...(!bare && { 'content-type': jsonType }),
    'content-length': String(body.length),
    ...(status === 401 && { 'set-cookie': expiredCookie }),
    ...(close && { connection: 'close' }),
  });
  response.end(body);
}

/** Only these headers, in lower case, and the date. */
function writeHead(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>): void {
  response.sendDate = false;
  if (headers.connection === undefined) response.removeHeader('connection');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('date', new Date().toUTCString());
  response.writeHead(status);
}
