// The demo application: a page, a health check, a streamed answer and an upgraded connection.
import { createHash } from "node:crypto";
import express from "express";

const app = express();
app.use(express.static(new URL("public", import.meta.url).pathname));
app.get("/healthz", (_request, response) => response.type("text").send("ok\n"));

// Chunks one by one, so that a proxy that buffers is found out: /stream?chunks=5&every=100 (milliseconds).
app.get("/stream", async (request, response) => {
  const chunks = Math.min(Number(request.query.chunks ?? 5), 1000);
  const every = Number(request.query.every ?? 100);
  response.type("text");
  for (let n = 1; n <= chunks && !response.destroyed; n++) {
    response.write(`chunk ${n}\n`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
  response.end();
});

const port = Number(process.env.PORT ?? 8080);
const server = app.listen(port, () => console.log(`listening on ${port}`));

// /ws answers with what it is sent: messages to a WebSocket, plain bytes to any other protocol asked for.
const upgraded = new Set();
server.on("upgrade", (request, socket, head) => {
  if (request.url !== "/ws") {
    socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    return;
  }
  upgraded.add(socket);
  socket.on("close", () => upgraded.delete(socket)).on("error", () => socket.destroy());
  const key = request.headers["sec-websocket-key"];
  const accept = key && createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n` +
      `${accept ? `Sec-WebSocket-Accept: ${accept}\r\n` : ""}\r\n`,
  );
  const echo = accept ? frameEcho(socket) : (bytes) => socket.write(bytes);
  if (head.length > 0) echo(head);
  socket.on("data", echo);
});

// Unmasks frames of up to 125 bytes and sends them back; a longer one or a close frame ends the connection.
function frameEcho(socket) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 6) {
      const length = rest[1] & 0x7f;
      if (length > 125 || (rest[0] & 0x0f) === 8) return socket.end(Buffer.from([0x88, 0]));
      if (rest.length < 6 + length) return;
      const payload = Buffer.from(rest.subarray(6, 6 + length));
      for (let i = 0; i < length; i++) payload[i] ^= rest[2 + (i % 4)];
      socket.write(Buffer.concat([Buffer.from([rest[0], length]), payload]));
      rest = rest.subarray(6 + length);
    }
  };
}

// Kubernetes sends SIGTERM: answer what is under way, take nothing new.
process.on("SIGTERM", () => {
  console.log("SIGTERM: ending");
  server.close(() => process.exit(0));
  for (const socket of upgraded) socket.end();
});
