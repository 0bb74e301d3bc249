import { expect, test } from 'vitest';
import { Handles } from '../../src/fuse/handles.js';

const closable = (closed: string[], name: string): { close: () => void } => ({ close: () => closed.push(name) });

test('numbers begin at 1 and come again only after all others, unless they are in use', () => {
  const handles = new Handles(3);
  handles.set(handles.reserve(), closable([], 'a'));
  expect([handles.reserve(), handles.reserve(), handles.reserve(), handles.reserve()]).toEqual([2, 3, 2, 3]);
  handles.close(1);
  expect(handles.reserve()).toBe(1);
});

test('each is closed once', () => {
  const closed: string[] = [];
  const handles = new Handles();
  for (const name of ['a', 'b', 'c']) handles.set(handles.reserve(), closable(closed, name));
  handles.close(2);
  handles.close(2);
  handles.close(99);
  expect([handles.size, handles.get(2), closed]).toEqual([2, undefined, ['b']]);
  handles.closeAll(() => expect.unreachable());
  expect([handles.size, closed]).toEqual([0, ['b', 'a', 'c']]);
});

test('all are closed although some throw', () => {
  const closed: string[] = [];
  const handles = new Handles();
  handles.set(1, {
    close: () => {
      throw new Error('a fault');
    },
  });
  handles.set(2, closable(closed, 'b'));
  const errors: unknown[] = [];
  handles.closeAll((error) => errors.push(error));
  expect([closed, errors.length]).toEqual([['b'], 1]);
});
