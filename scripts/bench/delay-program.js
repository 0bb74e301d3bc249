/** A process of its own between client and server: passes on, later. Arguments: the port it leads to, milliseconds one way. Tells its own port. */
import { TcpProxy } from '../../test/support/tcp-proxy.js';

const [, , port, delayMs] = process.argv;
const proxy = await TcpProxy.start(Number(port));
proxy.delayMs = Number(delayMs);
process.send?.(proxy.port);
setInterval(() => undefined, 1 << 30);
