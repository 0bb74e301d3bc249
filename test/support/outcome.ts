/** How something that may fail ended. */
import { codeOf, messageOf } from '../../src/errors.js';

/** `done`, or the code and the message of the error. */
export async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return `${codeOf(error)} ${messageOf(error)}`;
  }
}
