/** `npm run dev`: a page with the deck, and a fake dashboard socket that feeds it. Loopback only; see dev/README.md. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import { loadSeries, manySeries, PLANT } from "./plant";
import { Viewer, type Scenario } from "./viewer";

const root = process.cwd();
const port = Number(process.env.PORT ?? 5170);

/** The run begins at 14:03:20 local time, as the pictures do. */
const began = Date.now();
const fake = new Date();
fake.setHours(14, 3, 20, 0);
const startMs = fake.getTime();
const now = (): number => startMs + (Date.now() - began);

const FILES: Record<string, [string, string]> = {
  "/deck.js": [join(root, "../tidewire/static/deck.js"), "text/javascript"],
  "/assets/inter-latin.woff2": [join(root, "../../dashboard/tidewire_dashboard/static/inter-latin.woff2"), "font/woff2"],
  "/assets/inter-latin-ext.woff2": [join(root, "../../dashboard/tidewire_dashboard/static/inter-latin-ext.woff2"), "font/woff2"],
};

const server = createServer((request, response) => {
  const path = new URL(request.url ?? "/", "http://x").pathname;
  const file = FILES[path];
  if (file && existsSync(file[0])) {
    response.writeHead(200, { "content-type": file[1], "cache-control": "no-store" }).end(readFileSync(file[0]));
  } else if (path === "/" || path.startsWith("/d/") || path === "/notebook") {
    const page = path === "/notebook" ? "notebook.html" : "page.html";
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(readFileSync(join(root, "dev", page)));
  } else response.writeHead(404).end();
});

/** What the ticket of a connection asks for: `?scenario=…` of the page. */
function scenario(name: string): Scenario {
  const plant = name === "empty" ? [] : name === "many" ? manySeries(2_000) : name === "load" ? loadSeries() : PLANT;
  return { plant, lostS: name === "lost" ? 29 : 0, startMs };
}

server.on("upgrade", (request, socket: Socket) => {
  const url = new URL(request.url ?? "/", "http://x");
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.setNoDelay(true);
  const send = (opcode: number, body: Buffer): void => {
    const head = body.length < 126 ? Buffer.from([0x80 | opcode, body.length]) : body.length < 65_536 ? Buffer.from([0x80 | opcode, 126, body.length >> 8, body.length & 255]) : Buffer.alloc(10);
    if (body.length >= 65_536) {
      head[0] = 0x80 | opcode;
      head[1] = 127;
      head.writeBigUInt64BE(BigInt(body.length), 2);
    }
    if (socket.writable) socket.write(Buffer.concat([head, body]));
  };
  const viewer = new Viewer(
    scenario(url.searchParams.get("ticket") ?? ""),
    now,
    (text) => send(1, Buffer.from(text)),
    (bytes) => send(2, Buffer.from(bytes)),
  );
  let buffered: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      if (buffered.length < 6) return;
      const short = buffered[1] & 127;
      const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
      if (buffered.length < 6 + extra) return;
      const length = short === 126 ? buffered.readUInt16BE(2) : short === 127 ? Number(buffered.readBigUInt64BE(2)) : short;
      const start = 6 + extra;
      if (buffered.length < start + length) return;
      const mask = buffered.subarray(start - 4, start);
      const body = Buffer.from(buffered.subarray(start, start + length)).map((byte, i) => byte ^ mask[i % 4]);
      const opcode = buffered[0] & 15;
      buffered = buffered.subarray(start + length);
      if (opcode === 8) socket.end();
      else if (opcode === 1) viewer.receive(Buffer.from(body).toString());
    }
  });
  socket.on("close", () => viewer.close());
  socket.on("error", () => viewer.close());
});

server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
