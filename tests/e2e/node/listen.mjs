// Listens with the EventSource of an npm package: prints each event as a line of JSON until it is ended.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const print = (event) => console.log(JSON.stringify({ type: event.type, id: event.lastEventId, data: event.data }));
for (const type of ["message", "hello", "live", "gap", "reset", "bye"]) {
  source.addEventListener(type, print);
}
