/**
 * Descriptors that another process passes through a socket (SCM_RIGHTS), which Node cannot take.
 * Needs koffi, and 64 bits.
 */
import { MountError } from '../errors.js';
import { loadKoffi } from './ffi.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct msghdr, struct iovec, and a struct cmsghdr with one descriptor in it. */
const messageBytes = 56;
const vectorBytes = 16;
const controlBytes = 24;
const controlLength = 20;

/** Two connected sockets that no child inherits by accident; undefined without koffi. */
export function socketPair(): readonly [number, number] | undefined {
  const koffi = loadKoffi();
  if (koffi === undefined) return undefined;
  const socketpair = koffi.load(null).func('int socketpair(int domain, int type, int protocol, void *sockets)');
  const sockets = Buffer.alloc(8);
  const status: unknown = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets);
  return status === 0 ? [sockets.readInt32LE(0), sockets.readInt32LE(4)] : undefined;
}

/** The descriptor that lies in the socket, closed on exec. Does not wait. Throws MOUNT_FAILED if there is none. */
export function receiveDescriptor(socket: number): number {
  const koffi = loadKoffi();
  const none = new MountError('MOUNT_FAILED', 'the mount program passed no descriptor');
  if (koffi === undefined) throw none;
  const recvmsg = koffi.load(null).func('int64_t recvmsg(int socket, void *message, int flags)');
  // Addresses are no references: the last lines use what they point at, so that it lives until the call is over.
  const data = Buffer.alloc(1);
  const vector = Buffer.alloc(vectorBytes);
  const control = Buffer.alloc(controlBytes);
  const message = Buffer.alloc(messageBytes);
  vector.writeBigUInt64LE(koffi.address(data), 0);
  vector.writeBigUInt64LE(1n, 8);
  message.writeBigUInt64LE(koffi.address(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(koffi.address(control), 32);
  message.writeBigUInt64LE(BigInt(controlBytes), 40);
  const received = Number(recvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  const passed =
    received === data.length &&
    vector.readBigUInt64LE(8) === BigInt(data.length) &&
    control.readUInt32LE(0) === controlLength &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  if (!passed) throw none;
  return control.readInt32LE(16);
}
