/** `pbsfs user list`: users and tokens, and what they may. */
import Table from 'cli-table3';
import { formatGrantPath, type Grant } from '../../server/access/roles.js';
import { readUsers } from '../../server/access/users-file.js';
import { grantJson } from '../../server/access/users.js';
import { writeOut } from '../output.js';
import { usersPathOf, type UserOptions } from './user-options.js';

interface Listed {
  readonly name: string;
  readonly login: 'password' | 'secret' | 'none';
  readonly grants: readonly Grant[];
}

export async function listUsers(values: UserOptions): Promise<void> {
  const users = await readUsers(usersPathOf(values));
  const listed = [...users].flatMap(([name, { password, grants, tokens }]): Listed[] => [
    { name, login: password === undefined ? 'none' : 'password', grants },
    ...[...tokens].map(([token, record]): Listed => ({ name: `${name}!${token}`, login: 'secret', grants: record.grants })),
  ]);
  if (values.json === true) return await writeOut(listed.map(({ grants, ...rest }) => `${JSON.stringify({ ...rest, roles: grants.map(grantJson) })}\n`).join(''));
  const table = new Table({ head: ['name', 'login', 'roles'], style: { head: [] } });
  for (const { name, login, grants } of listed) table.push([name, login, grants.map(roleText).join('\n')]);
  await writeOut(`${table.toString()}\n`);
}

function roleText({ path, role, propagate }: Grant): string {
  return `${role} on ${formatGrantPath(path)}${propagate ? '' : ' only'}`;
}
