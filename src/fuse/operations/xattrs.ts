/** Extended attributes. A size of 0 asks how long the value is. */
import { constants } from 'node:os';
import { type Answer, type Operation, Refusal, type Session } from '../operation.js';
import { answerNothing, writingOperation } from './entries.js';

const { E2BIG, EINVAL, ENODATA, ERANGE } = constants.errno;
/** More than this the kernel cannot take from any file system (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const xattrBytesMax = 65536;
/** Local file systems list these to root only, and nobody else can read them. */
const trustedPrefix = Buffer.from('trusted.');
const tooSmall = new Refusal(ERANGE);
const tooLarge = new Refusal(E2BIG);
const noData = new Refusal(ENODATA);

function sized(session: Session, size: number, value: Uint8Array): Answer {
  if (value.length > xattrBytesMax) return tooLarge;
  if (size === 0) {
    session.reply.payloadView.setUint32(0, value.length, true);
    session.reply.payloadView.setUint32(4, 0, true);
    return 8;
  }
  return value.length > size ? tooSmall : [value];
}

export const getxattr: Operation = {
  payloadBytesMin: 10,
  run(session, request) {
    const size = request.uint32(0);
    const name = request.name(8);
    if (name === undefined) return session.refuse(request, EINVAL);
    session.answer(request, session.fileSystem.getxattr(session.inoOf(request.node), name), (value) =>
      value === undefined ? noData : sized(session, size, value),
    );
  },
};

export const listxattr: Operation = {
  payloadBytesMin: 8,
  run(session, request) {
    const size = request.uint32(0);
    const isRoot = request.uid === 0;
    const isShown = (name: Buffer): boolean => isRoot || !name.subarray(0, trustedPrefix.length).equals(trustedPrefix);
    session.answer(request, session.fileSystem.listxattr(session.inoOf(request.node)), (names) =>
      sized(session, size, Buffer.concat(names.filter(isShown).flatMap((name) => [name, Buffer.from([0])]))),
    );
  },
};

/** By the flags of setxattr(2). */
const setModes = ['set', 'create', 'replace'] as const;
const killSetGroupIdFlag = 1;

export const setxattr = writingOperation(10, (session, request, { operations, setxattrExtended }) => {
  const nameAt = setxattrExtended ? 16 : 8;
  const name = request.name(nameAt);
  const mode = setModes[request.uint32(4)];
  const value = name && request.bytes(nameAt + name.length + 1, request.uint32(0));
  if (name === undefined || mode === undefined || value === undefined) return session.refuse(request, EINVAL);
  const killSetGroupId = setxattrExtended && (request.uint32(8) & killSetGroupIdFlag) !== 0;
  const xattr = { name, value: Buffer.from(value), mode, killSetGroupId };
  answerNothing(session, request, operations.setxattr(session.inoOf(request.node), xattr));
});

export const removexattr = writingOperation(2, (session, request, { operations }) => {
  const name = request.name(0);
  if (name === undefined) return session.refuse(request, EINVAL);
  answerNothing(session, request, operations.removexattr(session.inoOf(request.node), name));
});
