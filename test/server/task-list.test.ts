/** Tasks and their names. Format: protocol, sections 1 and 8.1. */
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { TaskList } from '../../src/server/task-list.js';
import { formatUpid, startOfUpid } from '../../src/format/upid.js';
import { nodeName } from '../../src/server/task-origin.js';

const caller = { authId: 'backup@pbs!tok' };

describe('a UPID', () => {
  it('has hexadecimal numbers and an escaped id', () => {
    const numbers = { node: 'pbs', pid: 0x1a2b, pstart: 0xabcdef12, taskId: 3, starttime: 1_717_597_476, authId: 'a@pbs!t' };
    expect(formatUpid({ ...numbers, type: 'backup', id: 'store1:host/web-1' })).toBe('UPID:pbs:00001A2B:ABCDEF12:00000003:66607524:backup:store1\\x3ahost-web\\x2d1:a@pbs!t:');
    expect(formatUpid({ ...numbers, type: 'gc', id: '.a.b \u00fc' })).toContain(':\\x2ea.b\\x20\\xc3\\xbc:');
    expect(formatUpid({ ...numbers, type: 'gc', id: undefined })).toContain(':gc::a@pbs!t:');
  });

  it.each([
    ['pbs', 'pbs'],
    ['pbs-1.example.org', 'pbs-1'],
    ['a', 'a'],
    ['my_host', 'localhost'],
    ['pbs-', 'localhost'],
    ['-pbs', 'localhost'],
    ['', 'localhost'],
  ])('of a task on host %s is of node %s, and can be read', (host, node) => {
    const upid = formatUpid({ node: nodeName(host), pid: 1, pstart: 2, taskId: 3, starttime: 1_717_597_476, type: 'gc', id: 'a', authId: 'a@pbs' });
    expect(upid).toMatch(new RegExp(`^UPID:${node}:`));
    expect(startOfUpid(upid)).toBe(1_717_597_476);
    if (host !== node) expect(() => startOfUpid(upid.replace(node, 'pbs_'))).toThrow(/no UPID/);
  });
});

describe('tasks', () => {
  it('run, log, and end well, with warnings, or not', async () => {
    const tasks = new TaskList();
    const good = tasks.start('prune', 'store1', caller, (task) => {
      task.log('one\ntwo');
      return Promise.resolve(undefined);
    });
    const warned = tasks.start('prune', 'store1', caller, () => Promise.resolve('WARNINGS: 2'));
    const bad = tasks.start('prune', 'store1', caller, () => Promise.reject(new Error('no room')));
    const thrown = tasks.start('prune', 'store1', caller, () => {
      throw new Error('at once');
    });
    await setTimeout(1);
    expect([good, warned, bad, thrown].map(({ upid }) => tasks.find(upid)?.outcome)).toEqual(['OK', 'WARNINGS: 2', 'no room', 'at once']);
    const lines = tasks.find(good.upid)?.lines.map((line) => line.replace(/^\S+Z: /, ''));
    expect(lines).toEqual(['one two', 'TASK OK']);
    expect(tasks.find(bad.upid)?.lines.at(-1)).toMatch(/Z: TASK ERROR: no room$/);
    expect(tasks.list().map(({ upid }) => upid)).toEqual([thrown, bad, warned, good].map(({ upid }) => upid));
  });

  it('end when they are asked to', async () => {
    const tasks = new TaskList();
    const work = (signal: AbortSignal): Promise<undefined> => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))));
    const [one, two] = [tasks.start('gc', undefined, caller, ({ signal }) => work(signal)), tasks.start('gc', undefined, caller, ({ signal }) => work(signal))];
    tasks.abort(one.upid);
    await setTimeout(1);
    expect([tasks.find(one.upid)?.outcome, tasks.find(two.upid)?.outcome]).toEqual(['aborted: stopped', undefined]);
    await tasks.abortAll();
    expect(tasks.find(two.upid)?.endtime).toBeDefined();
  });

  it('are kept in a limited number, those that run for ever longer, with logs of a limited length', async () => {
    const tasks = new TaskList();
    let end = (): void => undefined;
    const running = tasks.start('gc', undefined, caller, async (task) => {
      for (let i = 0; i < 10_000; i++) task.log('x'.repeat(10_000));
      await new Promise<void>((resolve) => (end = resolve));
      return undefined;
    });
    for (let i = 0; i < 600; i++) tasks.start('prune', undefined, caller, () => Promise.resolve(undefined));
    await setTimeout(1);
    tasks.start('prune', undefined, caller, () => Promise.resolve(undefined));
    expect(tasks.list()).toHaveLength(500);
    expect(tasks.find(running.upid)?.endtime).toBeUndefined();
    end();
    await setTimeout(1);
    const lines = tasks.find(running.upid)?.lines ?? [];
    expect(lines.join('').length).toBeLessThan(300 * 1024);
    expect(lines.at(-1)).toMatch(/TASK OK$/);
    expect(lines.at(-2)).toContain('left out');
  });
});
