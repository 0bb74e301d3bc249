/** zstd of the system's libzstd.so.1, straight into the target, with contexts that are kept. */
import { loadKoffi } from '../ffi.js';
import { badFrame, type Zstd } from './frame.js';

const level = 1;

export function zstdOfLibrary(): Zstd | undefined {
  const koffi = loadKoffi();
  if (koffi === undefined) return undefined;
  const library = koffi.load('libzstd.so.1');
  const createDecoder = library.func('void *ZSTD_createDCtx()');
  const createEncoder = library.func('void *ZSTD_createCCtx()');
  const decode = library.func('size_t ZSTD_decompressDCtx(void *context, void *target, size_t room, const void *source, size_t length)');
  const encode = library.func(
    'size_t ZSTD_compressCCtx(void *context, void *target, size_t room, const void *source, size_t length, int level)',
  );
  const decoder: unknown = createDecoder();
  let encoder: unknown;
  return {
    name: 'libzstd through koffi',
    decompress(source, target) {
      // Errors are huge unsigned numbers.
      const length = Number(decode(decoder, target, target.length, source, source.length));
      if (length > target.length) throw badFrame(source, target);
      return length;
    },
    compress(source, room) {
      encoder ??= createEncoder();
      // What does not fit into one byte less than the source has is not shorter.
      const bytes = Math.max(source.length - 1, 0);
      const target = room?.subarray(0, bytes) ?? Buffer.allocUnsafe(bytes);
      const length = Number(encode(encoder, target, target.length, source, source.length, level));
      return length > target.length ? undefined : target.subarray(0, length);
    },
  };
}
