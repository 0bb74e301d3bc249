/** Changes of attributes and of inode flags. */
import { constants } from 'node:os';
import { attributesReplyBytes, writeAttributesReply } from '../wire/attributes.js';
import { ioctlReplyBytes, parseFlagChanges } from '../wire/ioctl.js';
import { handleOfChanges, parseAttributeChanges, setattrBytes } from '../wire/setattr.js';
import { writingOperation } from './entries.js';
import { ioctl } from './files.js';

const { EFBIG, EOPNOTSUPP } = constants.errno;
const ioctlHeaderBytes = 32;

export const setattr = writingOperation(setattrBytes, (session, request, { operations }) => {
  const changes = parseAttributeChanges(request);
  if ((changes.size ?? 0) > Number.MAX_SAFE_INTEGER) return session.refuse(request, EFBIG);
  const handle = handleOfChanges(request);
  const file = handle === undefined ? undefined : session.files.get(handle);
  session.answer(request, operations.setAttributes(session.inoOf(request.node), changes, file), (entry) => {
    writeAttributesReply(session.reply.payloadView, 0, entry);
    return attributesReplyBytes;
  });
});

/** The kernel has checked that the caller may; it does so for these requests only. */
export const ioctlWritable = writingOperation(ioctlHeaderBytes, (session, request, { operations }) => {
  const changes = parseFlagChanges(request);
  if (changes === undefined) return ioctl.run(session, request);
  if (changes === 'unknown') return session.refuse(request, EOPNOTSUPP);
  session.answer(request, operations.setInodeFlags(session.inoOf(request.node), changes), () => {
    session.reply.payload.fill(0, 0, ioctlReplyBytes);
    return ioctlReplyBytes;
  });
});
