/** What the kernel has no use for any more. Protocol: linux/fuse.h: nothing is answered. */
import type { Operation } from '../operation.js';

const batchHeaderBytes = 8;
const batchEntryBytes = 16;

export const forget: Operation = {
  payloadBytesMin: 8,
  run: (session, request) => session.writing?.lookups.remove(session.inoOf(request.node), request.uint64(0)),
};

export const forgetBatch: Operation = {
  payloadBytesMin: batchHeaderBytes,
  run(session, request) {
    const count = Math.min(request.uint32(0), Math.floor((request.payloadBytes - batchHeaderBytes) / batchEntryBytes));
    for (let i = 0; i < count; i += 1) {
      const at = batchHeaderBytes + i * batchEntryBytes;
      session.writing?.lookups.remove(session.inoOf(request.uint64(at)), request.uint64(at + 8));
    }
  },
};
