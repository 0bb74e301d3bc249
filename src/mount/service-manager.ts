/** Tells systemd that the mount can be used (sd_notify). Node has no datagram sockets of the kind, so systemd's own program sends it. */
import { spawn } from 'node:child_process';

const notifyTimeoutMs = 5000;

/** Nothing where no service manager listens. A failure is told to `log`: the mount is there all the same. */
export async function notifyReady(status: string, log: (line: string) => void): Promise<void> {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  await new Promise<void>((resolve) => {
    const args = ['--ready', `--pid=${process.pid}`, `--status=${status}`];
    const child = spawn('systemd-notify', args, { stdio: 'ignore', timeout: notifyTimeoutMs, cwd: '/' });
    child.on('error', (error) => {
      log(`systemd was not told: ${error.message}`);
      resolve();
    });
    child.on('exit', (status, signal) => {
      if (status !== 0) log(`systemd was not told: systemd-notify ended with ${status ?? signal}`);
      resolve();
    });
  });
}
