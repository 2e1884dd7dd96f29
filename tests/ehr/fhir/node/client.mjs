// Makes calls with fhir-kit-client, a JSON array of steps on standard input; writes what each one gave, or the error that it raised.
import { Client } from "fhir-kit-client";
import { text } from "node:stream/consumers";

const { steps } = JSON.parse(await text(process.stdin));
const results = [];
for (const { baseUrl, bearer, call, args } of steps) {
  const client = new Client({ baseUrl });
  client.bearerToken = bearer;
  try {
    const data = await client[call](args);
    results.push({ status: Client.httpFor(data).response.status, data });
  } catch (error) {
    results.push({ status: error.response?.status, error: error.response?.data ?? String(error) });
  }
}
process.stdout.write(JSON.stringify(results));
