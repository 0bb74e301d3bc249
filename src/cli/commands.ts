/** The commands. Each is loaded only when it is called, as starting up is a part of the time that a person waits. */
import type { Command } from './command.js';

export const commandLoaders: Readonly<Record<string, () => Promise<Command>>> = {
  mount: async () => (await import('./commands/mount.js')).mountCommand,
  umount: async () => (await import('./commands/umount.js')).umountCommand,
  status: async () => (await import('./commands/status.js')).statusCommand,
  snapshots: async () => (await import('./commands/snapshots.js')).snapshotsCommand,
  ls: async () => (await import('./commands/ls.js')).lsCommand,
  cat: async () => (await import('./commands/cat.js')).catCommand,
  stat: async () => (await import('./commands/stat.js')).statCommand,
  init: async () => (await import('./commands/init.js')).initCommand,
  backup: async () => (await import('./commands/backup.js')).backupCommand,
  restore: async () => (await import('./commands/restore.js')).restoreCommand,
  tar: async () => (await import('./commands/tar.js')).tarCommand,
  stage: async () => (await import('./commands/stage.js')).stageCommand,
  commit: async () => (await import('./commands/commit.js')).commitCommand,
  forget: async () => (await import('./commands/forget.js')).forgetCommand,
  prune: async () => (await import('./commands/prune.js')).pruneCommand,
  gc: async () => (await import('./commands/gc.js')).gcCommand,
  notes: async () => (await import('./commands/notes.js')).notesCommand,
  protect: async () => (await import('./commands/protect.js')).protectCommand,
  chown: async () => (await import('./commands/chown.js')).chownCommand,
  namespace: async () => (await import('./commands/namespace.js')).namespaceCommand,
  'upload-log': async () => (await import('./commands/upload-log.js')).uploadLogCommand,
  login: async () => (await import('./commands/login.js')).loginCommand,
  logout: async () => (await import('./commands/logout.js')).logoutCommand,
  serve: async () => (await import('./commands/serve.js')).serveCommand,
  user: async () => (await import('./commands/user.js')).userCommand,
  key: async () => (await import('./commands/key.js')).keyCommand,
  completion: async () => (await import('./commands/completion.js')).completionCommand,
};

export async function loadCommand(name: string): Promise<Command | undefined> {
  return Object.hasOwn(commandLoaders, name) ? await commandLoaders[name]?.() : undefined;
}

export async function loadAllCommands(): Promise<Command[]> {
  return await Promise.all(Object.values(commandLoaders).map((load) => load()));
}
