/** The end of a connection from which nothing more is taken. */
import type { Socket } from 'node:net';

const closeWaitMs = 1000;

/**
 * After what was written, and `last`. What still comes is thrown away: a socket that nobody reads never sees that the
 * other end has closed it. Who does not close it within a second loses it.
 */
export function endConnection(socket: Socket, last = ''): void {
  socket.end(last);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), closeWaitMs);
  socket.once('close', () => clearTimeout(timer));
}
