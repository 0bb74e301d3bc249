/** `pbsfs login`: a ticket for the commands that follow. Format: protocol, sections 3 and 6. */
import { parseRepository } from '../../format/repository.js';
import { stderrLog } from '../../mount/log.js';
import { openOptionsFor } from '../../mount/open-options.js';
import { ClientState } from '../../store/remote/client-state.js';
import { openServer } from '../../store/remote/server.js';
import { command, jsonOption } from '../command.js';
import { writeOut } from '../output.js';
import { repositoryPositional, serverOptions } from '../source-options.js';

export const loginCommand = command({
  name: 'login',
  summary: 'Log in to a server, so that the commands of the next two hours need no password',
  positionals: [repositoryPositional],
  options: { ...serverOptions, json: jsonOption },
  examples: [['pbsfs login backup@pbs@pbs.example.com:store1', 'asks for the password, and whether an unknown certificate is the server\'s']],
  statuses: ['failed', 'noAccess', 'unreachable'],
  run: async ({ json = false, ...words }, [location = '']) => {
    const repository = parseRepository(location);
    const warn = stderrLog(() => 'pbsfs: ');
    const server = openServer(repository, openOptionsFor(words, warn, { ask: true }));
    try {
      await server.logIn();
    } finally {
      await server.close();
    }
    const isRemembered = (await new ClientState(process.env).ticketOf(repository.host, repository.authId)) !== undefined;
    if (json) await writeOut(`${JSON.stringify({ host: repository.host, authId: repository.authId, isRemembered })}\n`);
    else if (isRemembered) await writeOut(`${repository.authId} is logged in to ${repository.host}\n`);
    else if (repository.authId.includes('!')) warn(`${repository.authId} is let in; tokens are not remembered, every command needs the secret`);
    else warn('the login is not remembered: that needs XDG_RUNTIME_DIR to be a directory with the mode 0700');
  },
});
