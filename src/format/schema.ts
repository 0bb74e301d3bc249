/** Checks parsed JSON against a zod schema and says in one line what does not fit. */
import type { z } from 'zod';
import { FormatError } from '../errors.js';

/** Throws BAD_STRUCTURE with the path and the fault of the first member that does not fit. */
export function checkSchema<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new FormatError('BAD_STRUCTURE', `${what} is not valid${path}: ${issue?.message ?? 'wrong form'}`);
}
