/** Operations on a node: names, attributes, link targets. */
import { constants } from 'node:os';
import { type Operation, Refusal } from '../operation.js';
import { attributesReplyBytes, writeAttributesReply } from '../wire/attributes.js';
import { statfsBytes, writeStatfs } from '../wire/statfs.js';
import { answerEntry, nameIn } from './entries.js';

const { ENAMETOOLONG } = constants.errno;
const linkBytesMax = 4095;
const tooLong = new Refusal(ENAMETOOLONG);

export const lookup: Operation = {
  payloadBytesMin: 2,
  run(session, request) {
    const name = nameIn(session, request, 0);
    if (name !== undefined) answerEntry(session, request, session.fileSystem.lookup(session.inoOf(request.node), name));
  },
};

export const getattr: Operation = {
  payloadBytesMin: 16,
  run(session, request) {
    session.answer(request, session.fileSystem.getattr(session.inoOf(request.node)), (entry) => {
      writeAttributesReply(session.reply.payloadView, 0, entry);
      return attributesReplyBytes;
    });
  },
};

export const readlink: Operation = {
  payloadBytesMin: 0,
  run(session, request) {
    session.answer(request, session.fileSystem.readlink(session.inoOf(request.node)), (target) =>
      target.length > linkBytesMax ? tooLong : [target],
    );
  },
};

export const statfs: Operation = {
  payloadBytesMin: 0,
  run(session, request) {
    session.answer(request, session.fileSystem.statfs(session.inoOf(request.node)), (statistics) => {
      writeStatfs(session.reply.payload, session.reply.payloadView, statistics);
      return statfsBytes;
    });
  },
};
