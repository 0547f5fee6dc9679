// What a program made on ImapFlow does: reads, searches, moves, is told of changes, resynchronises. It prints what it saw, as JSON.
const { ImapFlow } = require('imapflow');

const [port, certificate] = process.argv.slice(2);
const lines = [];
const session = () =>
  new ImapFlow({
    host: 'localhost',
    port: Number(port),
    secure: true,
    tls: { ca: require('fs').readFileSync(certificate) },
    auth: { user: 'jsmith', pass: 'mailfw' },
    qresync: true,
    logger: { debug: entry => lines.push(JSON.stringify(entry)), info() {}, warn() {}, error() {} },
  });
const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
const until = async condition => {
  for (let turn = 0; turn < 200 && !condition(); turn++) await pause(50);
};
const gather = async messages => {
  const found = [];
  for await (const message of messages) found.push(message);
  return found;
};

const main = async () => {
  const seen = {};
  const [client, other] = [session(), session()];
  await client.connect();
  await other.connect();
  await client.mailboxCreate('Flow');
  for (let number = 1; number <= 5; number++) {
    await client.append('Flow', Buffer.from(`Subject: flow ${number}\r\n\r\nbody ${number}\r\n`), number % 2 ? [] : ['\\Seen']);
  }
  const lock = await client.getMailboxLock('Flow');
  const since = client.mailbox.highestModseq;
  const whole = await gather(client.fetch('1:*', { uid: true, envelope: true, bodyStructure: true, source: true, flags: true }));
  seen.subjects = whole.map(message => message.envelope.subject);
  seen.bodies = whole.map(message => message.source.toString().split('\r\n\r\n')[1].trim());
  seen.found = await client.search({ or: [{ seen: true }, { subject: 'flow 3' }] }, { uid: true });

  const events = [];
  client.on('exists', event => events.push(['exists', event.count]));
  client.on('expunge', event => events.push(['expunge', event.uid]));
  client.on('flags', event => events.push(['flags', event.uid, [...event.flags].sort()]));
  const idling = client.idle();
  await other.mailboxOpen('Flow');
  await other.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
  await other.append('Flow', Buffer.from('Subject: late\r\n\r\nx\r\n'));
  await other.messageDelete('4', { uid: true });
  await until(() => events.some(event => event[0] == 'expunge'));
  seen.events = events;
  seen.changed = (await gather(client.fetch('1:*', { uid: true, flags: true }, { changedSince: since }))).map(message => message.uid);
  await idling;
  seen.moved = [...(await client.messageMove('1', 'INBOX', { uid: true })).uidMap.keys()];
  lock.release();
  seen.status = await client.status('Flow', { messages: true, uidNext: true });
  await client.mailboxDelete('Flow');
  await client.logout();
  await other.logout();
  seen.isCompressed = lines.some(line => line.includes('COMPRESS DEFLATE'));
  console.log(JSON.stringify(seen));
};

main().catch(error => {
  console.error(error, lines.slice(-10));
  process.exit(1);
});
