/** Format: protocol, section 6. How requests show whose they are. */

export interface Authentication {
  /** Of the next request; may log in first. LOGIN_FAILED, or why the server can't be asked. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** After a request with `used` was refused as of nobody known. False if another attempt has no sense. */
  renew(used: Readonly<Record<string, string>>): Promise<boolean>;
  close(): void;
}

/** Section 6.3: what a header can't hold, and little else. */
export function encodeSmall(text: string): string {
  return text.replace(/[^\x21-\x7e]|["#<>`?{}]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
