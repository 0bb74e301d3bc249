/**
 * What a decoder answers when it was given a window: a view of bytes that begins at the item and may be too short.
 * Either the value and how many bytes it took, or how many bytes of window it needs at least; the caller
 * then asks again with a longer window, at best twice as long, because decoding starts over.
 */

export interface Complete<T> {
  readonly value: T;
  readonly bytes: number;
}

/** `needBytes` is greater than the window's length, and within the limits of what is decoded. */
export interface Incomplete {
  readonly needBytes: number;
}

export type Decoded<T> = Complete<T> | Incomplete;
