/** What an HTTP/2 session of a client may have open, and in memory. Format: protocol, section 9.4. */
import type { Settings } from 'node:http2';

const requestsAtOnceMax = 32;
/** What comes of a request before it has its turn lies in memory. */
const windowBytes = 256 * 1024;

export const sessionSettings: Settings = {
  maxConcurrentStreams: requestsAtOnceMax,
  initialWindowSize: windowBytes,
  maxFrameSize: 4 * 1024 * 1024,
  maxHeaderListSize: 16 * 1024,
  enablePush: false,
};

/** Of all requests: what is not read stays in the windows of each. */
export const connectionWindowBytes = requestsAtOnceMax * windowBytes;
/** Bodies that a session may have in memory and in worker threads; a larger one has its turn alone. */
const bodyBytesAtOnceMax = 4.5 * 1024 * 1024;
/** Where few sessions are open: those of all, and of one. What is read while it comes fills a long way. */
const bodyBytesOfAllMax = 64 * 1024 * 1024;
const bodyBytesOfFewMax = 48 * 1024 * 1024;

/** Of one of `sessions`. */
export function bodyBytesMax(sessions: number): number {
  return Math.min(Math.max(bodyBytesOfAllMax / sessions, bodyBytesAtOnceMax), bodyBytesOfFewMax);
}

/** Chunks of images that memory is kept for, of all sessions. */
export const bodyRoomsMax = 10;
/** Pieces in which files are read. */
export const filePieceBytes = 128 * 1024;
/** Of a file that is being sent: pieces in its stream, in that of the request, and in the session. */
export const fileBytesOnTheWay = 4 * filePieceBytes;
/** Of all files that a session is being sent; a larger one has its turn alone. What waits to be encrypted and sent is as much again, twice. */
export const fileBytesAtOnceMax = 8 * fileBytesOnTheWay;
/** Of one chunk that is sent. */
export const fileMsMax = 15 * 60_000;
/** A client that sends nothing of a body for so long has no more to say. */
export const bodySilenceMs = 60_000;
/** Of one body in whole. */
export const bodyMsMax = 30 * 60_000;
/** A session without a byte in either direction ends. */
export const sessionSilenceMs = 12 * 3600 * 1000;
