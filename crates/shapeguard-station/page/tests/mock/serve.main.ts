// The mock station on port 8088, to look at the page by hand: npm run mock. A part comes by every few seconds.
import { MockStation } from "./server";

const EVERY_MS = 5_000;
const { url } = await new MockStation("dist").listen(8088);
console.log(`The mock station serves dist/ at ${url}`);
setInterval(() => {
  const kind = Math.random() < 0.15 ? "bad" : "good";
  void fetch(`${url}/mock/inspect`, { method: "POST", body: JSON.stringify({ kind }) });
}, EVERY_MS);
