/** What a user is told who may not write a datastore. */
import { StoreError, codeOf, messageOf } from '../../errors.js';

/** NO_PERMISSION in place of the system's refusals; other errors as they are. */
export function permissionOf(error: unknown): unknown {
  if (codeOf(error) !== 'EACCES' && codeOf(error) !== 'EPERM') return error;
  const hint = 'run this as root or as the user to whom the datastore belongs';
  return new StoreError('NO_PERMISSION', `${messageOf(error)}: ${hint}`, { cause: error });
}
