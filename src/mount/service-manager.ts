/** Tells systemd how a service is (sd_notify). Node has no datagram sockets of the kind, so systemd's own program sends it. */
import { spawn } from 'node:child_process';

const notifyTimeoutMs = 5000;

/** Nothing where no service manager listens. A failure is told to `log`: the service is there all the same. */
export async function notifyReady(status: string, log: (line: string) => void): Promise<void> {
  await notify(['--ready', `--status=${status}`], log);
}

/** It ends, which may take a while. */
export async function notifyStopping(status: string, log: (line: string) => void): Promise<void> {
  await notify([`--status=${status}`, 'STOPPING=1'], log);
}

async function notify(words: readonly string[], log: (line: string) => void): Promise<void> {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  await new Promise<void>((resolve) => {
    const child = spawn('systemd-notify', [`--pid=${process.pid}`, ...words], { stdio: 'ignore', timeout: notifyTimeoutMs, cwd: '/' });
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
