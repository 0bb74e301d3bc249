/** What the kernel knows of a connection, where Node does not ask. */
import type { Socket } from 'node:net';

interface SocketHandle {
  /** 0 or a negative errno. */
  getpeername?: (out: object) => number;
  /** Bytes that the kernel has not taken yet. */
  readonly writeQueueSize?: number;
  /** Of TLS: what carries it. */
  readonly _parent?: SocketHandle;
}

function handleOf(socket: Socket): SocketHandle | undefined {
  return (socket as Socket & { readonly _handle?: SocketHandle | null })._handle ?? undefined;
}

/**
 * False when the other end has reset the connection. Node learns of that by reading or writing; HTTP/2 stops reading while it writes, and
 * is not told when such a write fails. The handle is no part of Node's interface: without it the connection counts as open.
 */
export function isConnected(socket: Socket): boolean {
  const handle = handleOf(socket);
  return handle?.getpeername === undefined || handle.getpeername({}) === 0;
}

/**
 * Bytes that were written and are still in this process. They leave one by one, also of a single large write, of which Node tells only when
 * it is done; those of TLS itself do not. As above: 0 where the handle does not know.
 */
export function unsentBytes(socket: Socket): number {
  const handle = handleOf(socket);
  return (handle?._parent ?? handle)?.writeQueueSize ?? 0;
}
