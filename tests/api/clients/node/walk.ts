// Walks a course with a client that openapi-typescript and openapi-fetch make of the document, and prints what it saw.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.d.ts";

declare const process: { env: Record<string, string> };
type Command = components["schemas"]["Command"];
type Step = [trigger: string, fields: Partial<Command>];

const { URL: baseUrl, THERAPIST, AUDITOR, STEPS } = process.env;
const bearer = (token: string | undefined) => ({ headers: { Authorization: `Bearer ${token}` } });
const therapist = createClient<paths>({ baseUrl: baseUrl!, ...bearer(THERAPIST) });
const auditor = createClient<paths>({ baseUrl: baseUrl!, ...bearer(AUDITOR) });
const steps: Step[] = JSON.parse(STEPS!);

function expected<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} failed`);
  return value;
}

const opened = await therapist.POST("/v1/courses", {
  body: { client_ref: "TYPESCRIPT-1", protocol: "ipt", data: { source: "General practitioner", indication: "depression" } },
});
const course = expected(opened.data?.course, "opening a course").id;

async function fire(body: Command, version: number) {
  return therapist.POST("/v1/courses/{course_id}/transitions", {
    params: { path: { course_id: course }, header: { "If-Match": `"${version}"` } },
    body,
  });
}

async function options() {
  const answer = await therapist.GET("/v1/courses/{course_id}/options", { params: { path: { course_id: course } } });
  return expected(answer.data, "options");
}

async function example(trigger: string, fields: Partial<Command> = {}): Promise<Command> {
  const option = (await options()).items.find((each) => each.trigger === trigger);
  return { ...(expected(option, trigger).example as Command), ...fields };
}

// A refusal is a typed problem.
const refused = await fire(await example("start"), 1);
let rules: string[] = [];
let remedy: string | undefined;
if (refused.error?.type === "/problems/transition-refused") {
  rules = refused.error.refusals.map((each) => each.rule);
  remedy = refused.error.refusals[0]?.remedies?.[0]?.trigger;
}

let version = 1;
let state = "";
for (const [trigger, fields] of steps) {
  const fired = await fire(await example(trigger, fields), version);
  if (!fired.data) throw new Error(`${trigger}: ${JSON.stringify(fired.error)}`);
  if ("course" in fired.data && fired.data.course) ({ version, state } = fired.data.course);
}

const stale = await fire({ trigger: "note", data: { text: "x" } }, 1);
const invalid = await fire({ trigger: "note", data: { text: 7 } }, version);
const evening = await therapist.POST("/v1/courses/{course_id}/transitions", {
  params: { path: { course_id: course }, header: { "If-Match": `"${version}"` }, query: { dry_run: true } },
  body: {
    together: [
      { trigger: "record_session", data: { attendance: "5" }, override: { rules: ["overlaps_session"], reason: "x" } },
      { trigger: "sign_session", data: { session: { together: 0 } } },
    ],
  },
});
const history = await therapist.GET("/v1/courses/{course_id}/transitions", { params: { path: { course_id: course }, query: { limit: 200 } } });
const audit = await auditor.GET("/v1/audit", { params: { query: { course, kind: "refusal" } } });
const denied = await therapist.GET("/v1/audit", {});

console.log(
  JSON.stringify({
    rules,
    remedy,
    state,
    version,
    stale: stale.error?.type === "/problems/stale-version" ? stale.error.version : null,
    invalid: invalid.error?.type === "/problems/invalid" ? invalid.error.errors.map((each) => each.where) : null,
    evening: evening.data && "option" in evening.data ? evening.data.option.allowed : null,
    history: expected(history.data, "history").items.map((each) => each.trigger),
    audit: expected(audit.data, "the audit log").items.map((each) => each.rules),
    denied: denied.error?.type,
  }),
);
