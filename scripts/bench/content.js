/**
 * Content that is made again from a seed at any offset, at the speed of memory: pages of 4 KiB copied from pools that are made once.
 * `random` does not compress, `text` does about as well as the files of a system (2 to 3 times at zstd level 1).
 */
import { createCipheriv } from 'node:crypto';

/** @typedef {{ readonly kind: 'random' | 'text', readonly seed: number }} Content */

const pageBytes = 4096;
const poolBytes = 32 * 1024 * 1024;
const vocabularyWords = 6000;
/** Of the text's words: how many are numbers, which keep it from compressing too well. */
const numberShare = 0.03;

/**
 * Numbers in [0, 1), the same for the same seed.
 * @param {number} seed
 * @returns {() => number}
 */
export function randomNumbers(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mixed(state) / 2 ** 32;
  };
}

/**
 * A quarter of all seeds gives incompressible content.
 * @param {number} seed
 * @returns {Content}
 */
export function mixedContent(seed) {
  return { kind: mixed(seed ^ 0x51ed270b) % 4 === 0 ? 'random' : 'text', seed };
}

/**
 * The bytes of `content` from `offset` on.
 * @param {Buffer} target
 * @param {Content} content
 * @param {number} [offset]
 */
export function fillContent(target, content, offset = 0) {
  const pool = poolOf(content.kind);
  for (let at = 0; at < target.length; ) {
    const within = (offset + at) % pageBytes;
    const page = (offset + at - within) / pageBytes;
    const source = (mixed(mixed(content.seed) + page) % (poolBytes - pageBytes)) + within;
    const length = Math.min(pageBytes - within, target.length - at);
    pool.copy(target, at, source, source + length);
    at += length;
  }
}

/** @param {number} value */
function mixed(value) {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}

/** @type {Map<Content['kind'], Buffer>} */
const pools = new Map();

/** @param {Content['kind']} kind */
function poolOf(kind) {
  let pool = pools.get(kind);
  if (pool === undefined) {
    pool = kind === 'random' ? randomPool() : textPool();
    pools.set(kind, pool);
  }
  return pool;
}

function randomPool() {
  return createCipheriv('aes-256-ctr', Buffer.alloc(32, 1), Buffer.alloc(16)).update(Buffer.alloc(poolBytes));
}

function textPool() {
  const next = randomNumbers(1);
  const vocabulary = Array.from({ length: vocabularyWords }, () => {
    const letters = Array.from({ length: 2 + Math.floor(next() * 8) }, () => String.fromCharCode(97 + Math.floor(next() * 26)));
    return `${letters.join('')}${next() < 0.1 ? '\n' : ' '}`;
  });
  const pool = Buffer.alloc(poolBytes);
  for (let at = 0; at < poolBytes; ) {
    // Few words are frequent, most are rare.
    const word = next() < numberShare ? `${Math.floor(next() * 1e9)} ` : (vocabulary[Math.floor(next() ** 2 * vocabularyWords)] ?? '');
    at += pool.write(word, at, 'latin1');
  }
  return pool;
}
