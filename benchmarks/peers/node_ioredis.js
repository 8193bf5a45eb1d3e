// Node + ioredis: one Redis subscription per process, one write per event and subscriber, as the tutorials have it.
//     node node_ioredis.js PORT REDIS_PORT      (NODE_PATH names the folder with ioredis)
const http = require("http");
const Redis = require("ioredis");
const [port, redisPort] = process.argv.slice(2).map(Number);
const subscribers = new Map(); // metric -> Set of responses
const redis = new Redis({ host: "127.0.0.1", port: redisPort });
redis.psubscribe("bench/*");
redis.on("pmessage", (_pattern, channel, message) => {
  const wanting = subscribers.get(channel);
  if (!wanting) return;
  const event = `data: ${message}\n\n`;
  for (const response of wanting) response.write(event);
});
const server = http.createServer((request, response) => {
  const metrics = new URL(request.url, "http://127.0.0.1").searchParams.getAll("metric");
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.write(": hi\n\n");
  for (const metric of metrics) {
    if (!subscribers.has(metric)) subscribers.set(metric, new Set());
    subscribers.get(metric).add(response);
  }
  request.on("close", () => metrics.forEach((metric) => subscribers.get(metric).delete(response)));
});
server.requestTimeout = server.headersTimeout = 0;
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
