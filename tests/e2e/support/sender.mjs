// Sends without end to whoever connects, as a download does: `sender.mjs ADDRESS PORT`.
import { createServer } from 'node:net';

const [address, port] = process.argv.slice(2);
const CHUNK = Buffer.alloc(65536);

createServer((socket) => {
  const more = () => {
    while (socket.writable && socket.write(CHUNK));
  };
  socket.on('drain', more).on('error', () => socket.destroy());
  socket.write('HTTP/1.0 200 OK\r\n\r\n');
  more();
}).listen(Number(port), address, () => console.log('sending'));
