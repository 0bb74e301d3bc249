import { execFileSync } from 'node:child_process';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { aclText } from '../../src/cli/acl-text.js';
import { jsonName, modeText, timeText } from '../../src/cli/entry-facts.js';
import { durationText, sizeText, tableText } from '../../src/cli/text.js';
import { expectedLines } from '../support/fixtures.js';
import { scratchDirectory } from '../support/scratch.js';

test('modes are written as ls writes them', () => {
  const path = join(scratchDirectory(), 'file');
  writeFileSync(path, '');
  for (let mode = 0; mode <= 0o7777; mode += 0o111) {
    chmodSync(path, mode);
    const [shown = ''] = execFileSync('stat', ['-c', '%A', path]).toString().trim().split('\n');
    expect(modeText(statSync(path).mode)).toBe(shown);
  }
});

test('times', () => {
  expect(timeText({ sec: 0, nsec: 0 })).toBe('1970-01-01T00:00:00Z');
  expect(timeText({ sec: -1, nsec: 999_999_999 })).toBe('1969-12-31T23:59:59.999999999Z');
  expect(timeText({ sec: 1621873382, nsec: 7 })).toBe('2021-05-24T16:23:02.000000007Z');
  expect(timeText({ sec: 9e12, nsec: 1 })).toBe('@9000000000000.000000001');
});

test('names that are no text have their bytes beside them', () => {
  expect(jsonName('name', Buffer.from('\u00e4\n'))).toEqual({ name: '\u00e4\n' });
  expect(jsonName('name', Buffer.from([0x61, 0xff]))).toEqual({ name: 'a\ufffd', nameBase64: 'Yf8=' });
});

test('sizes and durations', () => {
  expect([0, 1023, 1024, 1536, 96 * 2 ** 20, 2 ** 60].map(sizeText)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '96.0 MiB', '1024.0 PiB']);
  expect([0, 61, 86399, 90061].map(durationText)).toEqual(['00:00:00', '00:01:01', '23:59:59', '1d 01:01:01']);
});

test('cells of a table can not move the cursor', async () => {
  expect(await tableText(['A', 'B'], [['x\u001b[2J', 'y'], ['longer', '']])).toBe('A       B\nx?[2J   y\nlonger\n');
});

describe('ACLs are written as getfacl writes them', () => {
  interface Line {
    readonly acl?: Readonly<Record<string, { readonly raw: string; readonly text: readonly string[] | string }>>;
  }
  const acls = expectedLines<Line>('sample', 'host/odd/2021-05-25T08:00:00Z/odd.pxar.jsonl').flatMap(({ acl }) => Object.values(acl ?? {}));

  test('all of the fixture', () => {
    expect(acls.length).toBeGreaterThan(5);
    for (const { raw, text } of acls) {
      const lines = (typeof text === 'string' ? text.split(/[\n,]/) : text).filter((line) => line !== '');
      expect(aclText(Buffer.from(raw, 'base64'))).toEqual(lines.map((line) => line.replace(/^default:/, '').replace(/\s*#.*/, '')));
    }
  });

  test('other values are none', () => {
    for (const hex of ['', '0200', '01000000', '0200000001', '02000000ff00070000000000']) expect(aclText(Buffer.from(hex, 'hex'))).toBeUndefined();
  });
});
