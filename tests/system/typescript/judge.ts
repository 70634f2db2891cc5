// A client whose types are generated from the OpenAPI document: it compiles, and judges an editor of whom only the id is
// known.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] });
const editor: components["schemas"]["Editor"] = { id: 1 };
const { data, error } = await client.POST("/predict", { body: [editor] });
if (data === undefined) {
  throw new Error(JSON.stringify(error));
}
const score: number | undefined = data.scores["1"];
if (score === undefined) {
  throw new Error("there is no score");
}
console.log(JSON.stringify(data));
const verdict: components["schemas"]["Verdict"] = { ...editor, verdict: 1 };
// @ts-expect-error a verdict is 0 or 1
verdict.verdict = 2;
