/** Logging in and out. Format: protocol, sections 6.1, 8.1 and 16. */
import type { Authenticator } from '../access/authenticator.js';
import { expiredCookie } from '../answer.js';
import { endpoint, type Endpoint, type JsonAnswer } from '../endpoint.js';
import { Refusal } from '../refusal.js';

const success = { status: 200, success: true };
const text = { kind: 'string', optional: true } as const;

export function accessEndpoints(authenticator: Authenticator): readonly Endpoint[] {
  const login = endpoint({
    method: 'POST',
    path: '/access/ticket',
    anonymous: true,
    parameters: {
      username: { kind: 'string' },
      password: text,
      'tfa-challenge': text,
      path: text,
      privs: text,
      port: { kind: 'integer', optional: true, min: 0, max: 65_535 },
      'http-only': { kind: 'boolean', optional: true },
    },
    run: async ({ context: { audit, metrics }, caller: { address: from }, parameters }) => {
      const who = parameters.username.slice(0, 128);
      try {
        if (parameters['tfa-challenge'] !== undefined) throw new Refusal(401, 'authentication failed');
        if (parameters.path ?? parameters.privs ?? parameters.port) throw new Refusal(501, 'this server has no consoles, and no tickets for them');
        const granted = await authenticator.login({ username: parameters.username, password: parameters.password ?? '', address: from });
        metrics.add('logins_total', 1, { result: 'ok' });
        audit.write({ who, from, what: 'login', result: 'ok' });
        return loginAnswer(granted, parameters['http-only'] ?? false);
      } catch (error) {
        metrics.add('logins_total', 1, { result: 'refused' });
        audit.write({ who, from, what: 'login', result: 'refused', reason: error instanceof Refusal ? error.message : 'failed' });
        throw error;
      }
    },
  });
  const logout = endpoint({
    method: 'DELETE',
    path: '/access/ticket',
    anonymous: true,
    parameters: {},
    run: () => Promise.resolve<JsonAnswer>({ data: {}, beside: success, headers: { 'set-cookie': expiredCookie } }),
  });
  return [login, logout];
}

/** `httpOnly`: a browser's scripts never see the ticket. */
function loginAnswer({ username, ticket, csrfToken }: { username: string; ticket: string; csrfToken: string }, httpOnly: boolean): JsonAnswer {
  const common = { username, CSRFPreventionToken: csrfToken };
  if (!httpOnly) return { data: { ...common, ticket }, beside: success, form: 'plain' };
  const info = ticket.replace(/::.*$/, '::ticketinfo');
  const cookie = `__Host-PBSAuthCookie=${ticket}; Secure; SameSite=Lax; HttpOnly; Path=/;`;
  return { data: { ...common, 'ticket-info': info }, beside: success, form: 'plain', headers: { 'set-cookie': cookie } };
}
