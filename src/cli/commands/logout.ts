/** `pbsfs logout`: forgets the ticket. Nothing is sent. Format: protocol, section 3. */
import { StoreError } from '../../errors.js';
import { parseRepository } from '../../format/repository.js';
import { ClientState } from '../../store/remote/client-state.js';
import { command, jsonOption } from '../command.js';
import { writeOut } from '../output.js';
import { repositoryOption, repositoryPositional } from '../source-options.js';

export const logoutCommand = command({
  name: 'logout',
  summary: 'Forget the login to a server',
  positionals: [repositoryPositional],
  options: { ...repositoryOption, json: jsonOption },
  examples: [['pbsfs logout backup@pbs@pbs.example.com:store1', 'the next command needs the password again']],
  statuses: ['failed', 'notFound'],
  run: async ({ json = false }, [location = '']) => {
    const { host, authId } = parseRepository(location);
    if (!(await new ClientState(process.env).forgetTicket(host, authId))) throw new StoreError('NOT_FOUND', `${authId} is not logged in to ${host}`);
    await writeOut(json ? `${JSON.stringify({ host, authId })}\n` : `${authId} is logged out of ${host}\n`);
  },
});
