// Serves the files in public/, and nothing else.
import { readFile } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const types = { ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml" };
const server = createServer((request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  const file = join("public", path.endsWith("/") ? `${path}index.html` : path);
  readFile(file, (error, bytes) => {
    if (error) return response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(bytes);
  });
});
server.listen(Number(process.env.PORT ?? 8080));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
