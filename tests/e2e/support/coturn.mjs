// A TURN server (coturn) on a machine of its own, with the configuration that is shipped.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { SERVER } from './machines.mjs';
import { RELAY } from './school.mjs';
import { sleep, until } from './figures.mjs';

const SECRET = 'shared with the lessons';
const SHIPPED = new URL('../../../config/turnserver.conf', import.meta.url);

export class Coturn {
  urls = [`turn:${RELAY.ipv4}:3478?transport=udp`, `turn:${RELAY.ipv4}:3478?transport=tcp`, `turns:${RELAY.ipv4}:443?transport=tcp`];
  secret = SECRET;
  process = null;

  constructor(school) {
    this.school = school;
    const [certificate, key] = ['turn.pem', 'turn.key'].map((name) => join(school.folder, name));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=turn', '-addext', `subjectAltName=IP:${RELAY.ipv4}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
    const values = { SECRET, ADDRESS: RELAY.ipv4, CERTIFICATE: certificate, KEY: key, SERVER: SERVER.ipv4 };
    const text = readFileSync(SHIPPED, 'utf8').replace(/^([a-z-]+)=([A-Z]+)$/gm, (_, option, word) => `${option}=${values[word]}`);
    this.configuration = join(school.folder, 'turnserver.conf');
    writeFileSync(this.configuration, text);
  }

  async start() {
    const [program, ...words] = this.school.within(this.school.relay);
    this.log = '';
    this.process = spawn(program, [...words, 'turnserver', '-c', this.configuration, '--log-file', 'stdout', '--simple-log',
      '--pidfile', '/dev/null', '--userdb', join(this.school.folder, 'turn.db')], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.process.stdout, this.process.stderr]) output.on('data', (data) => (this.log += data));
    this.exited = once(this.process, 'exit');
    const listening = () => execFileSync(program, [...words, 'ss', '-Hltn'], { encoding: 'utf8' });
    await until('coturn listens', 10, () => /:3478\b/.test(listening()) && /:443\b/.test(listening())).catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }

  /** Ends it as a power cut does. */
  async kill() {
    this.process?.kill('SIGKILL');
    await Promise.race([this.exited, sleep(5000)]);
  }

  /** A user name that ends at `expires` (Unix seconds), and its credential by `secret`. */
  credentials(expires, secret = SECRET) {
    const username = `${expires}:somebody`;
    return { username, credential: createHmac('sha1', secret).update(username).digest('base64') };
  }

  /** Why coturn turns its own client away that wants to relay from the classroom to `peer` with these credentials. */
  refusal({ username, credential }, peer = SERVER.ipv4) {
    const [program, ...words] = this.school.within(this.school.classroom);
    const client = ['turnutils_uclient', '-u', username, '-w', credential, '-e', peer, '-n', '1', '-m', '1', RELAY.ipv4];
    const { status, stdout, stderr } = spawnSync(program, [...words, ...client], { encoding: 'utf8', timeout: 3000 });
    // One that isn't turned away goes on sending until its time is over.
    return status === null ? null : `${stdout}${stderr}`;
  }
}
