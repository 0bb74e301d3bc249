/** Asks before what can't be undone. */
import { UsageError } from '../errors.js';
import { confirmOnTerminal, isAtTerminal } from '../mount/terminal.js';

/** USAGE where nobody can be asked, or the answer is no. */
export async function confirm(question: string, isSure: boolean | undefined): Promise<void> {
  if (isSure === true) return;
  const isYes = isAtTerminal() ? await confirmOnTerminal(`${question} (y/n) `) : undefined;
  if (isYes === undefined) throw new UsageError(`${question} Nobody can be asked here: say --yes`);
  if (!isYes) throw new UsageError('nothing was removed');
}
