/** What people do with files, timed. Each gives seconds. */
import { fileURLToPath } from 'node:url';
import { secondsOf, timedShell } from './measure.js';

const randomReader = fileURLToPath(new URL('./random-reader.js', import.meta.url));

/** @param {string} file */
export const readAll = (file) => secondsOf(`dd if='${file}' of=/dev/null bs=1M status=none`);

/** @param {string} directory */
export const readEveryFile = (directory) => secondsOf(`cat '${directory}'/* > /dev/null`);

/** @param {string} directory */
export const tar = (directory) => secondsOf(`tar cf - -C '${directory}' . | wc -c`);

/** @param {string} directory */
export const findLs = (directory) => secondsOf(`find '${directory}' -ls > /dev/null`);

/** @param {string} directory */
export const list = (directory) => secondsOf(`ls '${directory}' > /dev/null`);

/** Four threads. @param {string} file @param {number} reads */
export async function readAtRandom(file, reads) {
  return Number((await timedShell(`'${process.execPath}' '${randomReader}' '${file}' 4 ${reads}`)).output);
}

/** Makes the kernel forget the content of one file. @param {string} file */
export const forget = (file) => secondsOf(`dd if='${file}' iflag=nocache count=0 of=/dev/null status=none`);
