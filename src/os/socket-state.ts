/** What the kernel knows of a connection, where Node does not ask. */
import type { Socket } from 'node:net';

interface SocketHandle {
  /** 0 or a negative errno. */
  getpeername?: (out: object) => number;
}

/**
 * False when the other end has reset the connection. Node learns of that by reading or writing; HTTP/2 stops reading while it writes, and
 * is not told when such a write fails. The handle is no part of Node's interface: without it the connection counts as open.
 */
export function isConnected(socket: Socket): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: SocketHandle | null };
  return handle?.getpeername === undefined || handle.getpeername({}) === 0;
}
