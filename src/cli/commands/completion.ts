/** `pbsfs completion`: the script that a shell runs to complete command lines, and what that script asks. */
import { UsageError } from '../../errors.js';
import { command } from '../command.js';
import { completionScripts, shells } from '../completion-scripts.js';
import { writeOut } from '../output.js';

export const completionCommand = command({
  name: 'completion',
  summary: 'Print the completion script of a shell',
  positionals: [{ name: 'SHELL', describe: 'bash or zsh', completion: { words: shells }, many: true }],
  options: { candidates: { type: 'boolean', describe: 'what the scripts call: print what may follow the given words' } },
  examples: [
    ['source <(pbsfs completion bash)', 'in ~/.bashrc'],
    ['source <(pbsfs completion zsh)', 'in ~/.zshrc, after compinit'],
  ],
  statuses: [],
  run: async ({ candidates = false }, words) => {
    if (candidates) {
      const { candidatesFor } = await import('../complete.js');
      const found = await candidatesFor(words);
      await writeOut(found.map((candidate) => `${candidate}\n`).join(''));
      return;
    }
    const shell = shells.find((name) => name === words[0]);
    if (shell === undefined || words.length > 1) throw new UsageError(`'${words.join(' ')}': there are completions for ${shells.join(' and ')}`);
    await writeOut(completionScripts[shell]);
  },
});
