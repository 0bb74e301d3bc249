/**
 * The one buffer in which replies are encoded: header, then payload. Protocol: linux/fuse.h. A reply is encoded and sent
 * without anything else running in between.
 */
export const replyHeaderBytes = 16;
/** What one directory reply or attribute value can take: 256 pages. */
export const replyPayloadBytesMax = 1024 * 1024;

export class ReplyBuffer {
  readonly bytes = Buffer.allocUnsafeSlow(replyHeaderBytes + replyPayloadBytesMax);
  readonly view = new DataView(this.bytes.buffer);
  /** The part behind the header, for encoders that count from the start of the payload. */
  readonly payload = this.bytes.subarray(replyHeaderBytes);
  readonly payloadView = new DataView(this.bytes.buffer, replyHeaderBytes);
  readonly header = this.bytes.subarray(0, replyHeaderBytes);

  /** Writes the header of a reply; an error (positive errno) has no payload. Returns the length of the whole reply. */
  frame(uniqueLow: number, uniqueHigh: number, errno: number, payloadBytes: number): number {
    const length = replyHeaderBytes + payloadBytes;
    this.view.setUint32(0, length, true);
    this.view.setInt32(4, -errno, true);
    this.view.setUint32(8, uniqueLow, true);
    this.view.setUint32(12, uniqueHigh, true);
    return length;
  }
}
