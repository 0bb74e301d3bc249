/** Rooms never overlap, and everything that is freed becomes whole again. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { roomBytes, Slab, type Room } from '../../src/codec/slab.js';
import { seed } from '../support/random.js';

const roomBytesMin = 1 << 16;
const blockBytes = 1 << 24;
const length = fc.oneof(fc.integer({ min: 1, max: blockBytes }), fc.constantFrom(1, roomBytesMin, roomBytesMin + 1, 1 << 22, blockBytes));
const step = fc.oneof(length.map((bytes) => ({ bytes })), fc.nat().map((free) => ({ free })));

function overlap(a: Room, b: Room): boolean {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

test(`random allocations never overlap and merge again (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 200 }), (blocks, steps) => {
      const slab = new Slab(blocks * blockBytes);
      const taken: Room[] = [];
      for (const each of steps) {
        if ('bytes' in each) {
          const room = slab.allocate(each.bytes);
          if (room === undefined) {
            // With everything free there is room for any chunk.
            expect(taken.length).toBeGreaterThan(0);
            continue;
          }
          expect(room.bytes).toBe(roomBytes(each.bytes));
          expect(room.bytes).toBeGreaterThanOrEqual(each.bytes);
          expect(room.offset % room.bytes).toBe(0);
          expect(room.offset + room.bytes).toBeLessThanOrEqual(slab.bytes);
          expect(taken.find((other) => overlap(room, other))).toBeUndefined();
          taken.push(room);
        } else if (taken.length > 0) {
          const [room] = taken.splice(each.free % taken.length, 1);
          if (room !== undefined) slab.free(room);
        }
        expect(slab.bytesFree).toBe(slab.bytes - taken.reduce((sum, { bytes }) => sum + bytes, 0));
      }
      for (const room of taken) slab.free(room);
      const whole = Array.from({ length: blocks }, () => slab.allocate(blockBytes));
      expect(whole.map((room) => room?.offset).sort()).toEqual(Array.from({ length: blocks }, (_, i) => i * blockBytes).sort());
      expect(slab.allocate(1)).toBeUndefined();
      expect(slab.bytesFree).toBe(0);
    }),
    { seed, numRuns: 200 },
  );
});

test('a size that is not a multiple of 16 MiB is rounded down, to at least one block', () => {
  expect(new Slab(1).bytes).toBe(blockBytes);
  expect(new Slab(blockBytes * 3 - 1).bytes).toBe(blockBytes * 2);
});

test('a view is the memory of its room', () => {
  const slab = new Slab(blockBytes);
  const first = slab.allocate(roomBytesMin);
  const second = slab.allocate(100);
  if (first === undefined || second === undefined) throw new Error('no room');
  slab.view(second, 100).fill(7);
  expect(slab.view(second, 100).buffer).toBe(slab.memory);
  expect(slab.view(first, roomBytesMin).every((byte) => byte === 0)).toBe(true);
  expect(new Uint8Array(slab.memory, second.offset, 101).reduce((sum, byte) => sum + byte, 0)).toBe(700);
});
